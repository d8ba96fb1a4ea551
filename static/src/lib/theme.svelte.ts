/** Light, dark, or as the system has it. Kept in this browser; `public/theme.js` sets it before the first paint. */

import { keep, kept } from './kept'

export type Theme = 'system' | 'light' | 'dark'

const system = matchMedia('(prefers-color-scheme: dark)')
let choice = $state<Theme>(read())
let systemDark = $state(system.matches)

function read(): Theme {
  const said = kept('theme')
  return said === 'light' || said === 'dark' ? said : 'system'
}

system.addEventListener('change', (event) => {
  systemDark = event.matches
  apply()
})

function apply() {
  document.documentElement.classList.toggle('dark', theme.dark)
}

export const theme = {
  get choice() {
    return choice
  },
  set choice(wish: Theme) {
    choice = wish
    keep('theme', wish === 'system' ? null : wish)
    apply()
  },
  /** Whether it is dark now. */
  get dark() {
    return choice === 'dark' || (choice === 'system' && systemDark)
  },
}
