/** What may be allowed, in the order of how far it reaches. */

import type { TextKey } from './i18n.svelte'

export type Scope =
  | 'llm.chat'
  | 'llm.embed'
  | 'brainml.query'
  | 'brainml.index'
  | 'brainml.stats'
  | 'brainml.admin'
  | 'admin'
  | '*'

export const scopes: readonly { name: Scope; about: TextKey }[] = [
  { name: 'llm.chat', about: 'scopes.chat' },
  { name: 'llm.embed', about: 'scopes.embed' },
  { name: 'brainml.query', about: 'scopes.query' },
  { name: 'brainml.index', about: 'scopes.index' },
  { name: 'brainml.stats', about: 'scopes.stats' },
  { name: 'brainml.admin', about: 'scopes.brainmlAdmin' },
  { name: 'admin', about: 'scopes.admin' },
  { name: '*', about: 'scopes.all' },
]
