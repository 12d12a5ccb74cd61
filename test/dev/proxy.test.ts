import { once } from 'node:events'
import net from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Proxy } from '../bus/proxy.ts'

/** A server that sends back what it gets, behind a proxy. */
async function echoBehindProxy(): Promise<{ proxy: Proxy; connect: () => net.Socket }> {
  const server = net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  const proxy = await Proxy.start(address.port)
  onTestFinished(async () => {
    await proxy.close()
    server.close()
  })
  const connect = (): net.Socket => net.connect(proxy.port, '127.0.0.1').on('error', () => {})
  return { proxy, connect }
}

function closed(socket: net.Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve))
}

async function echoed(socket: net.Socket, text: string): Promise<string> {
  socket.write(text)
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  return bytes.toString()
}

describe('the faulty proxy', () => {
  test('passes what it is given, and says where it stands in for a broker', async () => {
    const { proxy, connect } = await echoBehindProxy()
    expect(await echoed(connect(), 'hello')).toBe('hello')
    expect(proxy.through('amqp://guest:guest@127.0.0.1:5672/v')).toBe(`amqp://guest:guest@127.0.0.1:${proxy.port}/v`)
  })

  test('cuts open connections and accepts new ones', async () => {
    const { proxy, connect } = await echoBehindProxy()
    const socket = connect()
    await echoed(socket, 'hello')
    proxy.cut()
    await closed(socket)
    expect(await echoed(connect(), 'again')).toBe('again')
  })

  test('refuses, until it passes again', async () => {
    const { proxy, connect } = await echoBehindProxy()
    proxy.refuse()
    await closed(connect())
    proxy.pass()
    expect(await echoed(connect(), 'again')).toBe('again')
  })

  test('holds back what was sent while it is frozen, and loses nothing', async () => {
    const { proxy, connect } = await echoBehindProxy()
    const socket = connect()
    proxy.freeze('down')
    const answer = echoed(socket, 'held')
    const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 100, 'silence'))])
    expect(first).toBe('silence')
    proxy.pass()
    expect(await answer).toBe('held')
  })

  test('cuts a connection after so many bytes, in the middle of what was sent', async () => {
    const { proxy, connect } = await echoBehindProxy()
    const socket = connect()
    let received = ''
    socket.on('data', (bytes) => (received += String(bytes)))
    proxy.cutAfter(3)
    socket.write('abcdef')
    await closed(socket)
    expect(received).toBe('abc')
  })
})
