// Sets the theme before the first paint. Kept in step with src/lib/theme.svelte.ts.
;(function () {
  var choice = null
  try {
    choice = localStorage.getItem('bkg.theme')
  } catch {
    // Storage may be forbidden.
  }
  var dark = choice === 'dark' || (choice !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.toggle('dark', dark)
})()
