/** The public API of `eventail/testing`: a bus for the tests of services. */
export type { BusMessage, DeadLetter, MessageFilter } from './bus-message.ts'
export type { Fault, FaultOptions, Faults } from './faults.ts'
export {
  type BusOptions,
  type BusStartOptions,
  type LogFilter,
  startBus,
  type StartableService,
  type TestBus,
} from './test-bus.ts'
