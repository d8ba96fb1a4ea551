/** Leaves compressed variants beside the files that get smaller, so that no server has to at run time. */

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

import type { Plugin } from 'vite'

const TEXT = /\.(js|css|html|svg|json|txt)$/

export function compress(): Plugin {
  let out = ''
  return {
    name: 'compress',
    apply: 'build',
    configResolved(config) {
      out = config.build.outDir
    },
    async closeBundle() {
      const entries = await readdir(out, { recursive: true })
      await Promise.all(entries.filter((name) => TEXT.test(name)).map((name) => variants(join(out, name))))
    },
  }
}

async function variants(path: string) {
  const plain = await readFile(path)
  const small = await promisify(gzip)(plain, { level: 9 })
  const smaller = await promisify(brotliCompress)(plain, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length },
  })
  if (small.length < plain.length) await writeFile(`${path}.gz`, small)
  if (smaller.length < plain.length) await writeFile(`${path}.br`, smaller)
}
