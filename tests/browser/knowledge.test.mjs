/** Collections: made, filled, searched, read and deleted. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { eventually, start } from './harness.mjs'

const HOSTILE = '<img src=x onerror="window.owned = 1"><script>window.owned = 2</script>'

let gateway
before(async () => (gateway = await start()))
after(() => gateway?.stop())

const file = (name, content) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(content) })

async function fill(name, documents) {
  await gateway.api('PUT', `/brainml/collections/${name}`)
  await gateway.api('POST', `/brainml/collections/${name}/documents`, { documents })
}

test('the collections are listed, in both themes and widths', async () => {
  await fill('shelf', [{ id: 'a', title: 'On apples', text: 'Apples are round.' }])
  for (const look of [{}, { dark: true }, { narrow: true }, { narrow: true, dark: true }]) {
    const page = await gateway.newPage(look)
    await page.enter('/knowledge')
    await page.getByRole('link', { name: 'shelf' }).waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('knowledge')
    await page.done()
  }
})

test('a collection is made, filled from files, and those that are no text say why', async () => {
  // A document that the gateway refuses is an answer of 422.
  const page = await gateway.newPage({ allow: [/422/] })
  await page.enter('/knowledge')
  await page.getByRole('button', { name: 'New collection' }).click()
  await page.getByLabel('Name').fill('Not A Name')
  await page.getByRole('button', { name: 'Create', exact: true }).click()
  await page.getByText('the first is a letter or a digit').nth(1).waitFor()
  await page.getByLabel('Name').fill('garden')
  await page.getByRole('button', { name: 'Create', exact: true }).click()
  await page.getByRole('heading', { name: 'garden' }).waitFor()
  await page.locator('input[type=file]').setInputFiles([
    file('pears.md', '# On pears\n\nPears have a neck.'),
    file('<img src=x onerror=alert(1)>.txt', HOSTILE),
    file('picture.png', [0x89, 0x50, 0, 0, 1]),
    file('latin.txt', [0x47, 0x72, 0xfc, 0xdf, 0x65]),
    file('lines.jsonl', '{"id":"plum","text":"Plums are blue."}\n{"_id":"quince","text":"Quinces are hard."}\n'),
    file('broken.jsonl', '{"id":"x","text":"y"}\n{"id":'),
    file('refused.jsonl', '{"id":"fig","text":"Figs are soft."}\n{"id":"","text":"no id"}\n'),
  ])
  await page.getByText('7 of 7 files, 5 documents searchable').waitFor()
  await page.getByText('there are zero bytes in it').waitFor()
  await page.getByText('It is not UTF-8').waitFor()
  await page.getByText('Line 2 is not JSON').waitFor()
  await page.getByText('must not be empty').waitFor()
  await page.checkAccess()
  await page.picture('knowledge-upload')
  await page.getByRole('tab', { name: 'Documents', exact: true }).click()
  await page.getByRole('link', { name: 'On pears' }).waitFor()
  for (const id of ['plum', 'quince', 'fig']) await page.getByRole('link', { name: id, exact: true }).waitFor()
  await page.getByRole('link', { name: '<img src=x onerror=alert(1)>' }).click()
  await page.getByText(HOSTILE).waitFor()
  assert.equal(await page.evaluate(() => window.owned), undefined)
  await page.done()
})

test('files that are dropped are taken too', async () => {
  await gateway.api('PUT', '/brainml/collections/dropped')
  const page = await gateway.newPage()
  await page.enter('/knowledge/dropped?tab=add')
  const place = page.getByRole('group', { name: 'Drop files here' })
  const data = await page.evaluateHandle(() => {
    const data = new DataTransfer()
    data.items.add(new File(['Dropped text.'], 'dropped.txt'))
    return data
  })
  await place.dispatchEvent('drop', { dataTransfer: data })
  await page.getByText('1 of 1 file, 1 documents searchable').waitFor()
  await page.done()
})

test('the search bench shows both ranks and the fused score, and opens the passage', async () => {
  const filler = 'Ünïcödé first. '.repeat(400)
  await fill('bench', [
    { id: 'long', title: 'A long one', text: `${filler}\n\nThe zeppelin lands at noon.` },
    { id: 'other', text: 'Nothing of the kind.' },
  ])
  for (const narrow of [false, true]) {
    const page = await gateway.newPage({ narrow })
    await page.enter('/knowledge/bench?tab=bench')
    await page.getByLabel('Query').fill('zeppelin')
    await page.getByLabel('Mode').selectOption('lexical')
    await page.getByRole('button', { name: 'Search', exact: true }).click()
    const first = page.locator('ol > li').first()
    await first.getByText('zeppelin lands').waitFor()
    await first.getByText('Word rank').waitFor()
    await first.getByText('#1', { exact: true }).waitFor()
    await page.checkAccess()
    await page.checkWidth()
    await page.picture('knowledge-bench')
    await first.getByRole('button', { name: 'A long one' }).click()
    const mark = page.getByRole('dialog').locator('mark')
    await mark.waitFor()
    assert.match(await mark.innerText(), /The zeppelin lands at noon\.$/)
    await eventually('the passage is in sight', () => mark.evaluate((mark) => {
      const { bottom } = mark.getBoundingClientRect()
      return bottom > 0 && bottom <= innerHeight
    }))
    await page.checkAccess()
    await page.keyboard.press('Escape')
    await page.done()
  }
})

test('documents are filtered, paged, read with their chunks, and deleted', async () => {
  const many = Array.from({ length: 120 }, (_, at) => ({ id: `d/${String(at).padStart(3, '0')}`, text: `Number ${at}.`, metadata: { at } }))
  await fill('many', many)
  const page = await gateway.newPage()
  await page.enter('/knowledge/many')
  await page.getByRole('link', { name: 'd/099' }).waitFor()
  await page.getByRole('button', { name: 'Show more' }).click()
  await page.getByRole('link', { name: 'd/119' }).waitFor()
  await page.getByRole('searchbox').fill('d/11')
  await eventually('ten are left', async () => (await page.locator('tbody tr').count()) === 10)
  await page.getByRole('link', { name: 'd/111' }).click()
  await page.getByText('Number 111.').waitFor()
  await page.getByRole('tab', { name: 'Chunks' }).click()
  await page.getByText('Bytes 0 to 11').waitFor()
  await page.getByRole('tab', { name: 'Metadata' }).click()
  await page.getByText('"at": 111').waitFor()
  await page.checkAccess()
  await page.getByRole('button', { name: 'Delete document' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete document' }).click()
  await page.getByRole('heading', { name: 'many' }).waitFor()
  await page.getByText('Documents119').waitFor()
  await page.done()
})

test('a collection is deleted only by whoever types its name', async () => {
  await fill('doomed', [{ id: 'a', text: 'b' }])
  const page = await gateway.newPage()
  await page.enter('/knowledge')
  await page.getByRole('button', { name: 'Delete the collection doomed' }).click()
  const dialog = page.getByRole('dialog')
  const act = dialog.getByRole('button', { name: 'Delete', exact: true })
  assert.equal(await act.isDisabled(), true)
  await dialog.getByLabel('Type doomed to confirm').fill('doome')
  assert.equal(await act.isDisabled(), true)
  await dialog.getByLabel('Type doomed to confirm').fill('doomed')
  await act.click()
  await eventually('it is gone', async () => (await page.getByRole('link', { name: 'doomed' }).count()) === 0)
  await page.done()
})

test('who may only search is offered nothing that changes', async () => {
  await fill('readonly', [{ id: 'a', text: 'b' }])
  await gateway.api('POST', '/admin/users', { username: 'eve', password: 'correct horse battery', scopes: ['brainml.stats', 'brainml.query'] })
  const page = await gateway.newPage()
  await page.enter('/knowledge/readonly', { user: 'eve' })
  await page.getByRole('link', { name: 'a', exact: true }).waitFor()
  assert.equal(await page.getByRole('tab', { name: 'Add documents' }).count(), 0)
  assert.equal(await page.getByRole('button', { name: /Delete/ }).count(), 0)
  await page.done()
})
