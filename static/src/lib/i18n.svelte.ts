/** The words of the site, in the reader's language: `t('plugins.restart')`. */

import { de } from '../texts/de'
import { en, type Texts } from '../texts/en'
import { keep, kept } from './kept'

const languages = { en, de } satisfies Record<string, Texts>

export type Language = keyof typeof languages

/** Each language by its own name. */
export const names: Record<Language, string> = { en: 'English', de: 'Deutsch' }

type Paths<T> = { [K in keyof T & string]: T[K] extends string ? K : `${K}.${Paths<T[K]>}` }[keyof T & string]

/** The name of a text, such as `plugins.restart`. */
export type TextKey = Paths<Texts>

const start = first()
let current = $state<Language>(start)
document.documentElement.lang = start

function first(): Language {
  const wanted = [kept('language') ?? '', ...navigator.languages.map((tag) => tag.slice(0, 2))]
  return wanted.find((tag): tag is Language => tag in languages) ?? 'en'
}

export const language = {
  get current() {
    return current
  },
  set current(wish: Language) {
    current = wish
    keep('language', wish)
    document.documentElement.lang = wish
  },
}

/**
 * A text with its `{places}` filled. Of a text `one|other` the first is taken where `n` asks for the
 * singular.
 */
export function t(key: TextKey, values: Record<string, string | number> = {}): string {
  const text = look(languages[current], key)
  const [one = text, other] = text.split('|')
  const plural = other !== undefined && new Intl.PluralRules(current).select(Number(values.n)) !== 'one'
  return (plural ? other : one).replaceAll(/\{(\w+)\}/g, (place, name: string) => {
    const value = values[name]
    if (value === undefined) return place
    return typeof value === 'number' ? value.toLocaleString(current) : value
  })
}

function look(texts: Texts, key: string): string {
  let found: unknown = texts
  for (const step of key.split('.')) found = (found as Record<string, unknown> | undefined)?.[step]
  return typeof found === 'string' ? found : key
}
