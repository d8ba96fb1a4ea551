import { svelte } from '@sveltejs/vite-plugin-svelte'
import tailwindcss from '@tailwindcss/vite'
import { defineConfig } from 'vite'

import { compress } from './compress'

// `build.rs` says where the output and the cache go: the sources may be read-only, and several
// builds may be under way.
const out = process.env.BKG_SITE_OUT ?? 'dist'

/** Where `npm run dev` finds a gateway. */
const gateway = process.env.BKG_URL ?? 'http://127.0.0.1:43119'
const routes = ['/v1', '/admin', '/auth', '/brainml', '/health', '/metrics', '/openapi.json', '/conversations']

export default defineConfig({
  plugins: [tailwindcss(), svelte(), compress()],
  cacheDir: process.env.BKG_SITE_CACHE,
  build: {
    outDir: out,
    emptyOutDir: true,
    target: 'es2022',
    // Nothing inline, as the policy demands.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: {
    proxy: Object.fromEntries([
      ...routes.map((route) => [route, { target: gateway, changeOrigin: false }]),
      ['/ws', { target: gateway, ws: true, changeOrigin: false }],
    ]),
  },
})
