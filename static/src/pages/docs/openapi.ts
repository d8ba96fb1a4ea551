/** What `/openapi.json` says, as far as it is shown; unknown parts are left out. Source: OpenAPI 3.1. */

import { grouped } from '../../lib/grouped'

export interface Schema {
  $ref?: string
  type?: string | string[]
  format?: string
  description?: string
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  allOf?: Schema[]
  oneOf?: Schema[]
  anyOf?: Schema[]
  enum?: unknown[]
  const?: unknown
  default?: unknown
  example?: unknown
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  additionalProperties?: boolean | Schema
}

export interface Parameter {
  name: string
  in: string
  description?: string
  required?: boolean
  schema?: Schema
}

interface Content {
  content?: Record<string, { schema?: Schema }>
  description?: string
}

interface RawOperation {
  tags?: string[]
  summary?: string
  description?: string
  operationId?: string
  parameters?: Parameter[]
  requestBody?: Content & { required?: boolean }
  responses?: Record<string, Content>
  security?: Record<string, string[]>[]
}

export interface Spec {
  info: { title: string; version: string; description?: string }
  tags?: { name: string; description?: string }[]
  paths: Record<string, Record<string, RawOperation>>
  components?: { schemas?: Record<string, Schema> }
}

export interface Operation extends RawOperation {
  id: string
  method: string
  path: string
  tag: string
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options']

/** All operations, in the order of their paths. */
export function operations(spec: Spec): Operation[] {
  return Object.entries(spec.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method]
      if (!operation) return []
      const id = operation.operationId ?? `${method}${path}`.replaceAll(/\W+/g, '_')
      return [{ ...operation, id, method, path, tag: operation.tags?.[0] ?? 'other' }]
    }),
  )
}

/** By their first tag. */
export function groups(all: readonly Operation[]): [string, Operation[]][] {
  return [...grouped(all, (one) => one.tag)]
}

/** Whether every word of `search` is somewhere in it. */
export function fits(operation: Operation, search: string): boolean {
  const { method, path, summary = '', id, tag } = operation
  const text = `${method} ${path} ${summary} ${id} ${tag}`.toLowerCase()
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word))
}

/** The body's schema of one kind, JSON first. */
export function bodyOf(content: Content | undefined): { kind: string; schema: Schema } | undefined {
  const kinds = Object.entries(content?.content ?? {})
  const [kind, body] = kinds.find(([kind]) => kind === 'application/json') ?? kinds[0] ?? []
  return kind !== undefined && body?.schema ? { kind, schema: body.schema } : undefined
}

export function nameOf(schema: Schema): string | undefined {
  return schema.$ref?.split('/').at(-1)
}

/**
 * A schema with its reference and its `allOf` followed. What is said beside a reference counts, such
 * as a description; a choice between something and nothing is that something.
 */
export function resolve(spec: Spec, schema: Schema): Schema {
  const name = nameOf(schema)
  if (name !== undefined) {
    const { $ref: _, ...beside } = schema
    return { ...resolve(spec, spec.components?.schemas?.[name] ?? {}), ...beside }
  }
  if (schema.allOf) {
    const parts = schema.allOf.map((part) => resolve(spec, part))
    const { allOf: _, ...beside } = schema
    return {
      ...Object.assign({}, ...parts),
      ...beside,
      properties: Object.assign({}, ...parts.map((part) => part.properties ?? {}), beside.properties),
      required: [...parts.flatMap((part) => part.required ?? []), ...(beside.required ?? [])],
    }
  }
  const choices = schema.oneOf?.filter((one) => one.type !== 'null')
  const [only] = choices ?? []
  if (choices?.length === 1 && only) {
    const { oneOf: _, ...beside } = schema
    return { ...resolve(spec, only), ...beside }
  }
  return schema
}

/** The choices among which a value may be. */
export function choices(schema: Schema): Schema[] {
  return (schema.oneOf ?? schema.anyOf ?? []).filter((one) => one.type !== 'null')
}

/** The type in one word or a few. */
export function typeOf(spec: Spec, schema: Schema): string {
  const whole = resolve(spec, schema)
  const types = [whole.type ?? []].flat().filter((type) => type !== 'null')
  if (choices(whole).length) return choices(whole).map((one) => typeOf(spec, one)).filter(isFirst).join(' | ')
  if (types[0] === 'array') return `${whole.items ? typeOf(spec, whole.items) : 'any'}[]`
  const [type = whole.properties ? 'object' : 'any'] = types
  return whole.format && type === 'string' ? whole.format : type
}

const isFirst = (text: string, at: number, all: string[]) => all.indexOf(text) === at

/** What bounds a value, such as `≥ 1`. */
export function bounds(schema: Schema): string[] {
  const { minimum, maximum, minLength, maxLength, default: preset } = schema
  const said: string[] = []
  if (minimum !== undefined) said.push(`≥ ${minimum}`)
  if (maximum !== undefined) said.push(`≤ ${maximum}`)
  if (minLength !== undefined) said.push(`length ≥ ${minLength}`)
  if (maxLength !== undefined) said.push(`length ≤ ${maxLength}`)
  if (preset !== undefined && preset !== null) said.push(`default ${JSON.stringify(preset)}`)
  return said
}

const DEEPEST = 6

/** A value as the schema wants it, with what it must have and no more. */
export function example(spec: Spec, schema: Schema, depth = 0): unknown {
  const whole = resolve(spec, schema)
  if (whole.example !== undefined) return whole.example
  if (whole.const !== undefined) return whole.const
  if (whole.enum?.length) return whole.enum[0]
  if (whole.default !== undefined && whole.default !== null) return whole.default
  const [choice] = choices(whole)
  if (choice) return example(spec, choice, depth + 1)
  const type = [whole.type ?? []].flat().find((one) => one !== 'null')
  if (type === 'array') return depth < DEEPEST && whole.items ? [example(spec, whole.items, depth + 1)] : []
  if (whole.properties) {
    const wanted = Object.entries(whole.properties).filter(([name]) => whole.required?.includes(name))
    return depth < DEEPEST ? Object.fromEntries(wanted.map(([name, one]) => [name, example(spec, one, depth + 1)])) : {}
  }
  if (type === 'integer' || type === 'number') return whole.minimum ?? 1
  if (type === 'boolean') return true
  if (type === 'object') return {}
  return texts[whole.format ?? ''] ?? 'text'
}

const texts: Record<string, string> = { 'date-time': '2027-01-31T00:00:00Z', date: '2027-01-31' }

/** The operation as a `curl` command. */
export function curl(spec: Spec, operation: Operation, base: string): string {
  const needed = (operation.parameters ?? []).filter((one) => one.in === 'query' && one.required)
  const query = needed.map((one) => `${one.name}=${String(example(spec, one.schema ?? {}))}`).join('&')
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase())
  const verb = operation.method === 'get' ? '' : `-X ${operation.method.toUpperCase()} `
  const parts = [`curl ${verb}'${base}${path}${query ? `?${query}` : ''}'`]
  if (operation.security) parts.push(`-H "Authorization: Bearer $BKG_API_KEY"`)
  const body = bodyOf(operation.requestBody)
  if (body) {
    const text = JSON.stringify(example(spec, body.schema), null, 2).replaceAll("'", "'\\''")
    parts.push(`-H 'Content-Type: ${body.kind}'`, `-d '${text}'`)
  }
  return parts.join(' \\\n  ')
}
