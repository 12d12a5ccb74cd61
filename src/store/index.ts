/** The public API of `eventail/store`: a temporary store that services share. */
export { createMemoryStore, type MemoryStoreOptions } from './memory-store.ts'
export type { RedisOptions } from './redis.ts'
export { createTempStore, type RedisStoreOptions } from './redis-store.ts'
export type { CreateOptions, SetOptions, StoreOptions, TempStore } from './temp-store.ts'
