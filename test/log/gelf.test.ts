import { expect, test } from 'vitest'
import { encodeGelf, type LogRecord } from '../../src/log/gelf.ts'
import { formatRecord } from '../../src/log/logger.ts'

const record: LogRecord = {
  level: 'WARNING',
  short: 'it is cold',
  full: '',
  conversationId: 'c1',
  service: 'weather',
  hostname: 'host',
  pid: 42,
  timestamp: 1_700_000_000.5,
  fields: {},
}

test('a record is GELF 1.1 with the fields that all services of the bus share', () => {
  expect(JSON.parse(encodeGelf(record).toString())).toEqual({
    version: '1.1',
    short_message: 'it is cold',
    full_message: '',
    level: 4,
    _levelname: 'WARNING',
    host: 'weather@host',
    timestamp: 1_700_000_000.5,
    _conversation_id: 'c1',
    _logical_service: 'weather',
    _worker_pid: 42,
  })
})

test('additional fields get a prefix, cannot replace those of the bus, and hold text or numbers', () => {
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  const fields = {
    user: 'Ada',
    _count: 2,
    id: 1,
    _id: 2,
    logical_service: 'other',
    'a b/c': true,
    list: [1],
    nothing: undefined,
    cycle,
    nan: Number.NaN,
  }
  const gelf: Record<string, unknown> = JSON.parse(encodeGelf({ ...record, fields }).toString())
  expect(gelf).toMatchObject({
    _user: 'Ada',
    _count: 2,
    _logical_service: 'weather',
    _a_b_c: 'true',
    _list: '[1]',
    _cycle: '<ref *1> { self: [Circular *1] }',
    _nan: 'null',
  })
  expect(Object.keys(gelf)).not.toContain('_id')
  expect(Object.keys(gelf)).not.toContain('id')
  expect(Object.keys(gelf)).not.toContain('_nothing')
})

test('a record on a terminal is one line, whatever its text', () => {
  const hostile = {
    ...record,
    short: 'a\r\nforged \u001b]0;title\u0007',
    conversationId: '\u202eevil',
    full: 'line 1\nline\u001b[2J 2\n',
  }
  expect(formatRecord(hostile, false)).toBe(
    '2023-11-14T22:13:20.500Z WARNING   weather  a\\x0d\\x0aforged \\x1b]0;title\\x07  [\\u202eevil]\n    line 1\n    line\\x1b[2J 2',
  )
})
