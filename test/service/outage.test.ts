/** What is told of an outage, and how often. */
import { AccessRefusedError, ConnectionError, TopologyError } from 'eventail'
import { expect, test } from 'vitest'
import { Logger } from '../../src/log/logger.ts'
import { OutageReport } from '../../src/service/outage.ts'
import { parseBrokerUrl } from '../../src/transport/broker-url.ts'
import { Records } from '../bus/watched.ts'

function reporting() {
  const records = new Records()
  const sink = { isOpen: true, publish: () => {} }
  const clock = { ms: 0 }
  const logger = new Logger({ service: 's', sink, stderrLevel: 'NONE', onRecord: records.onLog })
  return { records, clock, outage: new OutageReport(logger, () => clock.ms) }
}

test('a broker that is away is told once for each reason, however long it is away', () => {
  const { records, clock, outage } = reporting()
  for (; clock.ms < 3_600_000; clock.ms += 30_000) {
    outage.goesOn(new ConnectionError('away'))
    outage.goesOn(new ConnectionError('elsewhere'))
  }
  expect(records.of('WARNING')).toEqual(['away; trying again until it works', 'elsewhere'])
  outage.over(parseBrokerUrl('amqp://localhost', 'url'))
  expect(records.of('NOTICE')).toEqual([expect.stringMatching(/^connected to amqp:.*localhost.* after 3600\.0 s$/)])
})

test('what waiting does not mend is told again each minute', () => {
  const { records, clock, outage } = reporting()
  for (; clock.ms < 600_000; clock.ms += 10_000) {
    outage.goesOn(new TopologyError('other arguments'))
    outage.goesOn(new AccessRefusedError('no such user'))
  }
  expect(records.of('EMERGENCY')).toHaveLength(10)
  expect(records.of('ERROR')).toHaveLength(10)
})
