/** Small things that this browser remembers. Storage may be forbidden; then nothing is remembered. */

const name = (key: string) => `bkg.${key}`

export function kept(key: string): string | null {
  try {
    return localStorage.getItem(name(key))
  } catch {
    return null
  }
}

/** Remembers `value`, or forgets it. */
export function keep(key: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(name(key))
    else localStorage.setItem(name(key), value)
  } catch {
    // Then it is asked again the next time.
  }
}
