/**
 * Markdown of models as HTML that does nothing: HTML in it is text, links lead to the web or to mail
 * alone, pictures become links, and DOMPurify goes over the rest.
 */

import DOMPurify from 'dompurify'
import { Marked, type Token, type Tokens } from 'marked'

import { highlight } from './highlight'
import { t } from './i18n.svelte'

const LINK = /^(?:https?:\/\/|mailto:)/i
// What models write for want of a Markdown of its own, and what has neither attributes nor abilities.
const PLAIN_TAG = /^<\/?(?:br|sub|sup|kbd|b|i|em|strong)\s*\/?>$/i

/** How many citations the text that is being written has. */
let citations = 0

const escape = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

function link(href: string, content: string): string {
  return LINK.test(href) ? `<a href="${escape(href)}" target="_blank" rel="noopener noreferrer nofollow">${content}</a>` : content
}

function code({ text, lang }: Tokens.Code): string {
  const language = lang?.match(/^[\w+#.-]{1,30}/)?.[0] ?? ''
  const label = escape(language || t('chat.code'))
  const copy = escape(t('all.copy'))
  return (
    `<div class="code"><div class="code-head"><span>${label}</span><button type="button" class="code-copy">${copy}</button></div>` +
    `<pre tabindex="0"><code>${highlight(text, language)}</code></pre></div>`
  )
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    code,
    html: ({ text }) => (PLAIN_TAG.test(text.trim()) ? text : escape(text)),
    link({ href, tokens }) {
      return link(href, this.parser.parseInline(tokens))
    },
    image: ({ href, text }) => link(href, escape(text || href)) || escape(text),
    // Too wide for the page, it scrolls by itself.
    table(token) {
      const row = (cells: Tokens.TableCell[]) => `<tr>${cells.map((cell) => this.tablecell(cell)).join('')}</tr>`
      return `<div class="wide" tabindex="0"><table><thead>${row(token.header)}</thead><tbody>${token.rows.map(row).join('')}</tbody></table></div>`
    },
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
  },
  extensions: [
    {
      name: 'cite',
      level: 'inline',
      start: (text) => /\[\d{1,3}\]/.exec(text)?.index,
      tokenizer(text) {
        const found = /^\[(\d{1,3})\](?![([])/.exec(text)
        return found ? { type: 'cite', raw: found[0], number: Number(found[1]) } : undefined
      },
      renderer({ raw, number }) {
        if (number < 1 || number > citations) return raw
        return `<button type="button" class="cite" value="${number}" aria-label="${escape(t('chat.source', { number }))}">${number}</button>`
      },
    },
  ],
})

const purify = DOMPurify(window)
purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.nodeName === 'A') node.setAttribute('rel', 'noopener noreferrer nofollow')
})

const RULES = {
  ALLOWED_TAGS: (
    'p br hr h1 h2 h3 h4 h5 h6 strong b em i del sub sup kbd blockquote ul ol li a code pre div span button ' +
    'table thead tbody tr th td'
  ).split(' '),
  ALLOWED_ATTR: ['href', 'target', 'rel', 'class', 'type', 'value', 'tabindex', 'align', 'start', 'aria-label'],
  ADD_URI_SAFE_ATTR: ['target', 'rel', 'type', 'tabindex', 'align', 'start', 'aria-label'],
  ALLOWED_URI_REGEXP: LINK,
  ALLOW_DATA_ATTR: false,
}

const clean = new Map<string, string>()
const MOST_KEPT = 500

/** Sanitised before: while an answer grows, all blocks but the last stay as they are. */
function sanitised(html: string): string {
  const known = clean.get(html)
  if (known !== undefined) return known
  const made = purify.sanitize(html, RULES)
  if (clean.size >= MOST_KEPT) clean.clear()
  clean.set(html, made)
  return made
}

/**
 * The blocks of `text` as HTML that may be shown. `[n]` becomes a button where there are at least `n`
 * citations.
 */
export function blocks(text: string, cited = 0): string[] {
  citations = cited
  const tokens = marked.lexer(text)
  const shown = tokens.filter((token: Token) => token.type !== 'space' && token.type !== 'def')
  return shown.map((token: Token) => sanitised(marked.parser([token])))
}
