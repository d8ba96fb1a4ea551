/** As much of JSON Schema as settings are described by. */

export interface Schema {
  type?: string | string[]
  title?: string
  description?: string
  enum?: unknown[]
  default?: unknown
  minimum?: number
  maximum?: number
  minLength?: number
  writeOnly?: boolean
  properties?: Record<string, Schema>
  items?: Schema
  oneOf?: Schema[]
  anyOf?: Schema[]
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

export type Kind = 'text' | 'number' | 'switch' | 'choice' | 'object' | 'words' | 'list' | 'json'

/** The type that a value has where it has one. */
function typeOf(schema: Schema): string | undefined {
  const types = [schema.type ?? []].flat().filter((type) => type !== 'null')
  return types.length === 1 ? types[0] : undefined
}

/** Whether nothing may be said. */
export function optional(schema: Schema): boolean {
  return [schema.type ?? []].flat().includes('null')
}

/** How a value is edited; what no form fits is edited as JSON. */
export function kindOf(schema: Schema): Kind {
  if (schema.enum?.every((value) => typeof value === 'string')) return 'choice'
  switch (typeOf(schema)) {
    case 'string':
      return 'text'
    case 'integer':
    case 'number':
      return 'number'
    case 'boolean':
      return 'switch'
    case 'object':
      return schema.properties ? 'object' : 'json'
    case 'array':
      if (!schema.items) return 'json'
      return kindOf(schema.items) === 'text' ? 'words' : kindOf(schema.items) === 'object' ? 'list' : 'json'
    default:
      return 'json'
  }
}

/** Steps of a number field: whole numbers where only those are allowed. */
export function step(schema: Schema): number | 'any' {
  return typeOf(schema) === 'integer' ? 1 : 'any'
}

/** What a new value begins as. */
export function blank(schema: Schema): Json {
  if (schema.default !== undefined) return schema.default as Json
  if (optional(schema)) return null
  switch (kindOf(schema)) {
    case 'object': {
      const fields = Object.entries(schema.properties ?? {})
      return Object.fromEntries(fields.map(([name, field]) => [name, blank(field)]))
    }
    case 'words':
    case 'list':
      return []
    case 'number':
      return schema.minimum ?? 0
    case 'switch':
      return false
    case 'choice':
      return (schema.enum?.[0] as Json | undefined) ?? ''
    case 'text':
      return ''
    case 'json':
      return null
  }
}

/** Whether two values are the same, whatever the order of their fields. */
export function same(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other)
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

/** Stands for a secret that the gateway does not show. */
export const HIDDEN = '(hidden)'
