/** Where the reader is: paths without a hash, kept in the browser's history. */

let url = $state.raw(new URL(location.href))

addEventListener('popstate', () => {
  url = new URL(location.href)
})

export const route = {
  get path() {
    return url.pathname
  },
  /** The parts of the path, decoded: `/plugins/brainml` is `['plugins', 'brainml']`. */
  get parts(): string[] {
    return url.pathname.split('/').filter(Boolean).map(decoded)
  },
  get query() {
    return url.searchParams
  },
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Goes to a path of the site. */
export function go(path: string, how: { replace?: boolean } = {}) {
  const next = new URL(path, location.href)
  if (next.href === url.href) return
  if (how.replace) history.replaceState(null, '', next)
  else history.pushState(null, '', next)
  const moved = next.pathname !== url.pathname
  url = next
  if (moved) scrollTo(0, 0)
}

/** Sets or removes parts of the query without a new entry in the history. */
export function setQuery(changes: Record<string, string | null>) {
  const next = new URL(url)
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.searchParams.set(name, value)
    else next.searchParams.delete(name)
  }
  go(next.href, { replace: true })
}

/** Takes clicks on links to pages of the site, and leaves all others to the browser. */
export function takeLinks(isPage: (path: string) => boolean) {
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const link = event.target instanceof Element ? event.target.closest('a') : null
    if (!link?.href || link.target || link.hasAttribute('download')) return
    const to = new URL(link.href)
    if (to.origin !== location.origin || !isPage(to.pathname)) return
    if (to.hash && to.pathname === location.pathname) return
    event.preventDefault()
    go(to.href)
  })
}
