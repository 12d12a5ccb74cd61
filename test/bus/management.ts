/** What a test asks of a broker through its management API: virtual hosts, users, policies, and who is connected. */
import type { Permissions } from './permissions.ts'

export interface Connection {
  readonly name: string
  readonly vhost: string
  readonly client_properties: { readonly connection_name?: string }
}

export class Management {
  readonly #url: string
  readonly #vhost: string

  constructor(url: string, vhost: string) {
    this.#url = url
    this.#vhost = encodeURIComponent(vhost)
  }

  /** @throws Error with what the API answered */
  async api(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#url}/api/${path}`, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}`,
        'content-type': 'application/json',
      },
      ...(body === undefined ? undefined : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }

  async createVhost(): Promise<void> {
    await this.api('PUT', `vhosts/${this.#vhost}`, {})
    await this.api('PUT', `permissions/${this.#vhost}/guest`, { configure: '.*', write: '.*', read: '.*' })
  }

  async deleteVhost(): Promise<void> {
    await this.api('DELETE', `vhosts/${this.#vhost}`)
  }

  /** Policies take effect a moment after this resolves. */
  async setPolicy(name: string, pattern: string, definition: object, applyTo = 'queues'): Promise<void> {
    await this.api('PUT', `policies/${this.#vhost}/${name}`, { pattern, definition, 'apply-to': applyTo, priority: 9 })
  }

  async deletePolicy(name: string): Promise<void> {
    await this.api('DELETE', `policies/${this.#vhost}/${name}`)
  }

  /** A user with these permissions on the virtual host. */
  async createUser(name: string, password: string, permissions: Permissions): Promise<void> {
    await this.api('PUT', `users/${name}`, { password, tags: '' })
    await this.api('PUT', `permissions/${this.#vhost}/${name}`, permissions)
  }

  /** Makes a user with these permissions. @returns the URL with that user in it */
  async userUrl(url: string, name: string, permissions: Permissions): Promise<string> {
    await this.createUser(name, 'limited', permissions)
    const own = new URL(url)
    own.username = name
    own.password = 'limited'
    return own.href
  }

  /** Client connections to the virtual host. They show a moment after they were opened. */
  async connections(): Promise<readonly Connection[]> {
    return (await this.api('GET', `vhosts/${this.#vhost}/connections`)) as Connection[]
  }

  /** Closes the client connections whose name contains this text; waits until there are some. */
  async closeConnections(nameContains: string): Promise<void> {
    for (let closed = 0, tries = 0; closed === 0 && tries < 100; tries++) {
      for (const { name, client_properties } of await this.connections()) {
        if (client_properties.connection_name?.includes(nameContains) !== true) continue
        // a worker that loses one of its connections closes the other: that one may be gone already, or just going
        await this.api('DELETE', `connections/${encodeURIComponent(name)}`).catch((error: unknown) => {
          if (!/: (?:404|500) /.test(String(error))) throw error
        })
        closed += 1
      }
      if (closed === 0) await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
