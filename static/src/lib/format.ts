/** Numbers, bytes, durations and times as the reader's language writes them. */

import { language } from './i18n.svelte'

export function number(value: number, digits = 0): string {
  return value.toLocaleString(language.current, { maximumFractionDigits: digits })
}

/** Such as 12.3k. */
export function short(value: number): string {
  return value.toLocaleString(language.current, { notation: 'compact', maximumFractionDigits: 1 })
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** Bytes, in powers of 1024. */
export function bytes(value: number): string {
  const step = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), UNITS.length - 1)
  return `${number(value / 1024 ** step, step === 0 ? 0 : 1)} ${UNITS[step] ?? 'B'}`
}

/** Milliseconds, from microseconds to hours. */
export function duration(ms: number): string {
  if (ms === 0) return '0 ms'
  if (ms < 1) return `${number(ms * 1000)} µs`
  if (ms < 1000) return `${number(ms, ms < 10 ? 1 : 0)} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${number(seconds, seconds < 10 ? 1 : 0)} s`
  if (seconds < 3600) return `${number(Math.floor(seconds / 60))} min ${number(Math.floor(seconds % 60))} s`
  return `${number(Math.floor(seconds / 3600))} h ${number(Math.floor((seconds % 3600) / 60))} min`
}

export function time(instant: string | Date): string {
  return new Date(instant).toLocaleString(language.current, { dateStyle: 'medium', timeStyle: 'medium' })
}

export function date(instant: string | Date): string {
  return new Date(instant).toLocaleDateString(language.current, { dateStyle: 'medium' })
}

/** The time of day, to the millisecond, as logs show it. */
export function clock(instant: string): string {
  const at = new Date(instant)
  const two = (value: number) => String(value).padStart(2, '0')
  const ms = String(at.getMilliseconds()).padStart(3, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** Such as "3 minutes ago". */
export function ago(instant: string | Date, now = Date.now()): string {
  const seconds = (new Date(instant).getTime() - now) / 1000
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1]
  const words = new Intl.RelativeTimeFormat(language.current, { numeric: 'auto' })
  return words.format(Math.round(seconds / size), unit)
}
