/**
 * What tests of the bus are given: a virtual host of the file's own on a real broker, and a probe in it.
 *
 * With EVENTAIL_AMQP_URL the virtual host is the one of that URL, and tests that need to command the broker are skipped. With
 * EVENTAIL_TEST_BROKER=development it is the development broker. With EVENTAIL_TEST_USER=least-privilege `url` is that of a user
 * who may do no more than a service must.
 */
import { randomUUID } from 'node:crypto'
import { test as base, inject } from 'vitest'
import { Management } from './management.ts'
import { permissionsFor } from './permissions.ts'
import { type Listening, Probe } from './probe.ts'

interface FileFixtures {
  /** The AMQP URL of the file's virtual host, for a user who may do everything there. */
  ownerUrl: string
  /** The same, for whom the tests are about. */
  url: string
  /** Commands the broker. Using it skips the test on a broker that is not ours. */
  management: Management
}

interface TestFixtures {
  probe: Probe
  /**
   * Dead letters of this file: a dead-letter exchange with a queue, and the policy for all event and command queues.
   * Must be asked for before a service declares its queues.
   */
  dead: Listening
}

const vhost = `test-${randomUUID()}`

/** Whether the tests run as a user who may do no more than a service must. */
export const isLimited = process.env['EVENTAIL_TEST_USER'] === 'least-privilege'
if (isLimited) process.env['EVENTAIL_DECLARE'] = 'queues'

/** Whether the tests run on the development broker. It has one user, who may do everything, and no quorum queues: tests of those are left out. */
export const isDevelopmentBroker = process.env['EVENTAIL_TEST_BROKER'] === 'development'

/** The URL of a user with the permissions of a service that declares its queues, whatever its name. */
async function limitedUrl(ownerUrl: string, management: Management): Promise<string> {
  const owner = await Probe.open(ownerUrl)
  await owner.declareExchanges()
  await owner.close()
  const permissions = permissionsFor('billing', 'declares its queues', '[^ ]+')
  return management.userUrl(ownerUrl, `least-${vhost}`, permissions)
}

export const test = base
  .extend<FileFixtures>({
    ownerUrl: [
      // oxlint-disable-next-line no-empty-pattern -- fixtures are told what they need by what they destructure
      async ({}, use) => {
        const managementUrl = inject('managementUrl')
        if (managementUrl === '') {
          await use(inject('brokerUrl'))
          return
        }
        const management = new Management(managementUrl, vhost)
        await management.createVhost()
        await use(`${inject('brokerUrl')}/${vhost}`)
        await management.deleteVhost()
      },
      { scope: 'file' },
    ],
    url: [
      async ({ ownerUrl, management }, use) => {
        await use(isLimited ? await limitedUrl(ownerUrl, management) : ownerUrl)
      },
      { scope: 'file' },
    ],
    management: [
      async ({ ownerUrl: _url }, use) => {
        await use(new Management(inject('managementUrl'), vhost))
      },
      { scope: 'file' },
    ],
  })
  .extend<TestFixtures>({
    probe: async ({ ownerUrl }, use) => {
      const probe = await Probe.open(ownerUrl)
      await use(probe)
      await probe.close()
    },
    dead: async ({ probe, management }, use) => {
      const channel = await probe.channel()
      await channel.assertExchange('am-dlx', 'topic', { durable: true })
      await management.setPolicy('DLX', '.*\\.events|.*\\.commands', { 'dead-letter-exchange': 'am-dlx' })
      await use(await probe.listen('am-dlx', '#'))
    },
  })

export { type Listening, Probe, jsonOf, recordOf } from './probe.ts'
