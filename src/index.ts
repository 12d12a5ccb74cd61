/** The public API of eventail. */
export { type Batch, type BatchOptions, createBatch } from './batch/batch.ts'
export {
  type CommandContract,
  type CommandSchemas,
  type ConfigurationContract,
  defineCommand,
  defineConfiguration,
  defineEvent,
  type EventContract,
  type InputOf,
  type OptionalSchema,
  type OutputOf,
  type Schema,
} from './contracts/contract.ts'
export {
  AccessRefusedError,
  BlockedTimeoutError,
  CallTimeoutError,
  CommandError,
  ConnectionError,
  ContractError,
  type ContractIssue,
  DeliveryLostError,
  EventailError,
  HandlerTimeoutError,
  InvalidMessageError,
  InvalidSettingError,
  ManagementError,
  NoHandlerError,
  NotSettledError,
  PayloadDecodeError,
  PayloadEncodeError,
  PermanentError,
  PublishBufferFullError,
  PublishError,
  PublishRefusedError,
  PublishTimeoutError,
  StoppedError,
  StoreBusyError,
  StoreError,
  TopologyError,
  UnroutableError,
} from './errors.ts'
export { type Call, type CallOptions, Endpoint, type EndpointOptions } from './endpoint/endpoint.ts'
export { SyncEndpoint, type SyncEndpointOptions } from './endpoint/sync-endpoint.ts'
export type { LogFields, LogRecord } from './log/gelf.ts'
export { type LevelName, LEVELS, type StderrLevel } from './log/levels.ts'
export { formatRecord, type Log, type LogDetails, type LogMethod } from './log/logger.ts'
export type {
  AckOptions,
  Bus,
  CancelTimer,
  CommandContext,
  ConfigurationContext,
  EventContext,
  MessageContext,
  NackOptions,
  Publish,
  PublishConfiguration,
  PublishOptions,
  ResultContext,
  ReturnedMessage,
  SendCommand,
  SendCommandOptions,
  SentCommand,
  ServiceContext,
  SettleLater,
} from './service/contexts.ts'
export { SETTLE_LATER } from './service/contexts.ts'
export { defineService, type ServiceDefinition, type ServiceOptions } from './service/define-service.ts'
export type { OutageBrake } from './service/brake.ts'
export type { CrashGuardOptions } from './service/crash-guard.ts'
export type { RetryPolicy } from './service/failure-policy.ts'
export {
  type EventAnswer,
  type Handler,
  type HandlerKind,
  type HandlerOptions,
  type HandlerSchemas,
  onCommand,
  onConfiguration,
  onEvent,
  onResult,
  type ResultOptions,
} from './service/handlers.ts'
export type { Once, OnceOptions } from './service/once.ts'
export type { ServiceHealth } from './service/health.ts'
export type { Hooks } from './service/hooks.ts'
export type { MessageInHand, MessageState, QueueInUse, Work } from './service/in-hand.ts'
export type { HealthObserver, ObservedWorker, WorkerEvents, WorkerFigures } from './service/observer.ts'
export { Service, type ServiceClassOptions } from './service/service-class.ts'
export type { PublishLimit, ServiceSettings, StartOptions } from './service/settings.ts'
export type { RunningService, WorkerState } from './service/running-service.ts'
export type { Cancel, Clock } from './time/clock.ts'
export type { Declare } from './topology/plan.ts'
export type { BrokerTls } from './transport/broker-tls.ts'
export type { Metadata, ResultStatus } from './wire/envelope.ts'
export type { Headers, HeaderValue } from './wire/message.ts'
export type { PayloadFormat, PayloadValue } from './wire/payload.ts'
