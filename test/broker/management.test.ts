/** The management API of the development broker, as far as it is not the answers to the command line: whom it listens to. */
import { lookup } from 'node:dns/promises'
import { request } from 'node:http'
import { hostname } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DevBroker } from '../../src/broker/dev-broker.ts'

let broker: DevBroker

beforeEach(async () => {
  broker = await DevBroker.start({ managementPort: 0 })
})
afterEach(() => broker.close())

interface Asked {
  readonly host: string
  readonly auth?: string
  readonly path?: string
}

/** @returns the status */
function ask(method: string, { host, auth = 'guest:guest', path = 'vhosts/%2F' }: Asked): Promise<number | undefined> {
  const { hostname, port } = new URL(broker.managementUrl ?? '')
  return new Promise((resolve, reject) => {
    request({ hostname, port, method, path: `/api/${path}`, auth, headers: { host } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    })
      .on('error', reject)
      .end()
  })
}

test('a web page that has its own name lead here gets nothing done', async () => {
  expect(await ask('DELETE', { host: 'page.example' })).toBe(403)
  expect(await ask('DELETE', { host: 'localhost.page.example:15672' })).toBe(403)
  expect(await ask('DELETE', { host: '127.0.0.1.page.example:15672' })).toBe(403)
  expect(broker.vhosts()).toHaveLength(1)
})

test('whoever is on this machine asks it by address or as localhost', async () => {
  for (const host of ['127.0.0.1', '127.0.0.1:15672', '[::1]:15672', 'localhost', 'LOCALHOST:15672'])
    expect(await ask('GET', { host, path: 'vhosts' })).toBe(200)
})

test('it answers to the name that it was told to listen at', async ({ skip }) => {
  const own = hostname()
  const { address } = await lookup(own).catch(() => ({ address: '' }))
  if (!address.startsWith('127.')) skip('the name of this machine leads elsewhere')
  await broker.close()
  broker = await DevBroker.start({ host: own, managementPort: 0 })
  expect(await ask('GET', { host: `${own}:15672`, path: 'vhosts' })).toBe(200)
})

test('nobody gets anything without the password', async () => {
  expect(await ask('DELETE', { host: 'localhost', auth: 'guest:wrong' })).toBe(401)
  expect(broker.vhosts()).toHaveLength(1)
})
