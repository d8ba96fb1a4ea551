/** A few figures out of `/metrics`. Source: Prometheus' text format. */

/** The sum of all samples of a name, or nothing where there is none. */
export type Figures = (name: string) => number | undefined

export function figures(text: string): Figures {
  const sums = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue
    const found = /^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)/.exec(line)
    const [, name, value] = found ?? []
    if (name === undefined || !Number.isFinite(Number(value))) continue
    sums.set(name, (sums.get(name) ?? 0) + Number(value))
  }
  return (name) => sums.get(name)
}
