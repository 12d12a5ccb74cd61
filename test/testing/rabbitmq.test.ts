/** What a bus of tests on a RabbitMQ needs of it. */
import { ManagementError } from 'eventail'
import { startBus } from 'eventail/testing'
import { expect, inject, test } from 'vitest'
import { DevBroker } from '../../src/broker/dev-broker.ts'

const [url, managementUrl] = [inject('brokerUrl'), inject('managementUrl')]

test.skipIf(managementUrl === '')('a management API of another broker is named as what is wrong', async () => {
  await using other = await DevBroker.start({ managementPort: 0 })
  const started = startBus({ url, managementUrl: other.managementUrl ?? '' })
  await expect(started).rejects.toThrow(ManagementError)
  await expect(started).rejects.toThrow(
    /is it the API of another broker\? Set managementUrl or EVENTAIL_MANAGEMENT_URL/,
  )
  // what was made there is removed
  expect(other.vhosts().map(({ name }) => name)).toEqual(['/'])
})
