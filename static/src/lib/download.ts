/** Files that the site makes itself. */

/** Offers `text` as a file. */
export function download(name: string, kind: string, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type: kind }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // Not before the browser has taken it.
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
