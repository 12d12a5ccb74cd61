/** What a client does wrong, or with bad intent, and when. */
import { method, PROTOCOL_HEADER, short } from './bytes.ts'
import { type RawClient, type Said, startOk } from './raw-client.ts'

export interface HostileCase {
  readonly title: string
  /** What both brokers say, without the texts. */
  readonly says: readonly Said[]
  /** The development broker does not do it, and answers this. */
  readonly refuses?: Said
  readonly play: (raw: RawClient, vhost: string) => Promise<void>
}

/** Says these bytes on a new socket. */
export function atFirst(
  title: string,
  bytes: Buffer,
  says: readonly Said[],
  more: Pick<HostileCase, 'refuses'> = {},
): HostileCase {
  return {
    title,
    says,
    ...more,
    play: async (raw) => {
      raw.send(bytes)
      await raw.hear(says.length)
    },
  }
}

/** Says these bytes when the broker asks who it is. */
export function atStart(title: string, bytes: readonly Buffer[], says: readonly Said[]): HostileCase {
  return {
    title,
    says,
    play: async (raw) => {
      raw.send(PROTOCOL_HEADER)
      await raw.hear(1)
      raw.said.length = 0
      raw.send(...bytes)
      await raw.hear(says.length)
    },
  }
}

/** Says these bytes when the broker has told its limits. */
export function atTune(title: string, bytes: readonly Buffer[], says: readonly Said[]): HostileCase {
  return {
    title,
    says,
    play: async (raw) => {
      raw.send(PROTOCOL_HEADER)
      await raw.hear(1)
      raw.send(startOk())
      await raw.hear(2)
      raw.said.length = 0
      raw.send(...bytes)
      await raw.hear(says.length)
    },
  }
}

/** Says these bytes when channel 1 is open. */
export function whenOpen(title: string, bytes: readonly Buffer[], says: readonly Said[]): HostileCase {
  return {
    title,
    says,
    play: async (raw, vhost) => {
      await raw.open({ vhost })
      raw.send(...bytes)
      await raw.hear(says.length)
    },
  }
}

/** Says these bytes when the broker has closed channel 1 for an exchange that is not there. */
export function whenChannelClosed(title: string, bytes: readonly Buffer[], says: readonly Said[]): HostileCase {
  return {
    title,
    says: ['channel.close 404 for exchange.declare', ...says],
    play: async (raw, vhost) => {
      await raw.open({ vhost })
      raw.send(method(1, 40, 10, Buffer.alloc(2), short('nowhere'), short(''), Buffer.from([1]), Buffer.alloc(4)))
      await raw.hear(1)
      raw.send(...bytes)
      await raw.hear(1 + says.length)
    },
  }
}

/** The connection is closed for this, and the client agrees. */
export function closed(code: number, method_ = 'nothing'): readonly Said[] {
  return [`connection.close ${code} for ${method_}`, 'the end']
}

export const DROPPED: readonly Said[] = ['the end']
export const GOES_ON: readonly Said[] = ['channel.flow-ok on 1']
/** Channel 1 waits for the rest of a message, other channels go on. */
export const WAITS: readonly Said[] = ['channel.open-ok on 77']
