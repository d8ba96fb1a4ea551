/**
 * Every page, one line each: its path, its title, its icon, the scope it needs, and its component,
 * which is loaded when it is first opened. Navigation, router and command palette come from here.
 */

import BookOpen from '@lucide/svelte/icons/book-open'
import ChartColumn from '@lucide/svelte/icons/chart-column'
import FileClock from '@lucide/svelte/icons/file-clock'
import House from '@lucide/svelte/icons/house'
import KeyRound from '@lucide/svelte/icons/key-round'
import LibraryBig from '@lucide/svelte/icons/library-big'
import MessageSquare from '@lucide/svelte/icons/message-square'
import Puzzle from '@lucide/svelte/icons/puzzle'
import ScrollText from '@lucide/svelte/icons/scroll-text'
import Server from '@lucide/svelte/icons/server'
import Users from '@lucide/svelte/icons/users'
import Waypoints from '@lucide/svelte/icons/waypoints'
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
  /** Whether it is shown without a log-in too. */
  open: boolean
  // A component without properties is no component of `PageProps` to TypeScript.
  load: () => Promise<{ default: Component<any> }>
}

function page(path: string, title: TextKey, icon: typeof House, scope: string | undefined, load: Page['load'], open = false): Page {
  return { path, title, icon, scope, open, load }
}

// The gateway answers under `/v1`, `/admin`, `/auth`, `/brainml`, `/ws`, `/health`: no page may
// begin with one of those.
export const pages: readonly Page[] = [
  page('/', 'home.title', House, undefined, () => import('./pages/home/Home.svelte')),
  page('/chat', 'chat.title', MessageSquare, 'llm.chat', () => import('./pages/chat/Chat.svelte')),
  page('/knowledge', 'knowledge.title', LibraryBig, 'brainml.stats', () => import('./pages/knowledge/Knowledge.svelte')),
  page('/keys', 'keys.title', KeyRound, undefined, () => import('./pages/keys/Keys.svelte')),
  page('/usage', 'usage.title', ChartColumn, undefined, () => import('./pages/usage/Usage.svelte')),
  page('/plugins', 'plugins.title', Puzzle, 'admin', () => import('./pages/plugins/Plugins.svelte')),
  page('/logs', 'logs.title', ScrollText, 'admin', () => import('./pages/logs/Logs.svelte')),
  page('/traces', 'traces.title', Waypoints, 'admin', () => import('./pages/traces/Traces.svelte')),
  page('/users', 'users.title', Users, 'admin', () => import('./pages/users/Users.svelte')),
  page('/audit', 'audit.title', FileClock, 'admin', () => import('./pages/audit/Audit.svelte')),
  page('/system', 'system.title', Server, 'admin', () => import('./pages/system/System.svelte')),
  page('/docs', 'docs.title', BookOpen, undefined, () => import('./pages/docs/Docs.svelte'), true),
]

/** The page that a path belongs to. */
export function pageAt(path: string): Page | undefined {
  const first = `/${path.split('/')[1] ?? ''}`
  return pages.find((page) => page.path === first && (page.path !== '/' || path === '/'))
}
