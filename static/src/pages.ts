/**
 * Every page, one line each: its path, its title, its icon, the scope it needs, and its component,
 * which is loaded when it is first opened. Navigation, router and command palette come from here.
 */

import House from '@lucide/svelte/icons/house'
import Puzzle from '@lucide/svelte/icons/puzzle'
import ScrollText from '@lucide/svelte/icons/scroll-text'
import type { Component } from 'svelte'

import type { TextKey } from './lib/i18n.svelte'

export interface PageProps {
  /** The parts of the path below the page's own, decoded. */
  rest: string[]
}

export interface Page {
  /** One part, such as `/plugins`; what is below belongs to the page too. */
  path: string
  title: TextKey
  icon: typeof House
  /** Needed to see it; nothing where everyone may. */
  scope: string | undefined
  // A component without properties is no component of `PageProps` to TypeScript.
  load: () => Promise<{ default: Component<any> }>
}

function page(path: string, title: TextKey, icon: typeof House, scope: string | undefined, load: Page['load']): Page {
  return { path, title, icon, scope, load }
}

// The gateway answers under `/v1`, `/admin`, `/auth`, `/brainml`, `/ws`, `/health`, `/docs`: no page
// may begin with one of those.
export const pages: readonly Page[] = [
  page('/', 'home.title', House, undefined, () => import('./pages/home/Home.svelte')),
  page('/plugins', 'plugins.title', Puzzle, 'admin', () => import('./pages/plugins/Plugins.svelte')),
  page('/logs', 'logs.title', ScrollText, 'admin', () => import('./pages/logs/Logs.svelte')),
]

/** The page that a path belongs to. */
export function pageAt(path: string): Page | undefined {
  const first = `/${path.split('/')[1] ?? ''}`
  return pages.find((page) => page.path === first && (page.path !== '/' || path === '/'))
}
