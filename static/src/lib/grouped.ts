/** The items by what `name` says of each, in the order in which the names first come. */
export function grouped<T>(items: readonly T[], name: (item: T) => string): Map<string, T[]> {
  const found = new Map<string, T[]>()
  for (const item of items) {
    const of = name(item)
    const list = found.get(of)
    if (list) list.push(item)
    else found.set(of, [item])
  }
  return found
}
