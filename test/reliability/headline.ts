/**
 * The long run of the pipeline: `npm run test:headline -- [options]`. Prints one line per run; ends with 1 when one failed.
 *
 *     --messages 100000 --service-kills 20 --broker-kills 5 --runs 5
 *     --once       the work of each stage is done once per number, remembered in Redis
 *     --python     one worker of each of the first two stages is written in Python
 *     --cluster    three nodes and quorum queues
 *
 * What the programs write to stderr goes to the file EVENTAIL_PIPELINE_LOG.
 */
import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { startBroker } from '../../dev/broker.mjs'
import { startCluster } from '../../dev/cluster.mjs'
import { startRedis } from '../../dev/redis.mjs'
import { lineOf, type PipelineOptions, runPipeline } from './pipeline.ts'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '100000' },
    'service-kills': { type: 'string', default: '20' },
    'broker-kills': { type: 'string', default: '5' },
    runs: { type: 'string', default: '1' },
    once: { type: 'boolean', default: false },
    python: { type: 'boolean', default: false },
    cluster: { type: 'boolean', default: false },
  },
})
const say = (line: string): void => void process.stdout.write(`${line}\n`)

const nodes = values.cluster ? (await startCluster()).nodes : [await startBroker()]
const redis = values.once ? await startRedis(['appendonly no']) : undefined
const options: PipelineOptions = {
  nodes,
  messages: Number(values.messages),
  serviceKills: Number(values['service-kills']),
  brokerKills: Number(values['broker-kills']),
  queues: values.cluster ? 'quorum' : 'classic',
  python: values.python,
  ...(redis === undefined ? {} : { redisUrl: redis.url }),
}
const version = (await nodes[0]?.ctl('version'))?.trim()
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
say(
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, RabbitMQ ${version}, ${commit}`,
)
const calm = await runPipeline({
  ...options,
  messages: Math.min(20_000, options.messages),
  serviceKills: 0,
  brokerKills: 0,
})
say(`undisturbed: ${lineOf(calm)}`)
let failed = calm.problems.length
for (let n = 1; n <= Number(values.runs); n++) {
  const report = await runPipeline({ ...options, undisturbedRate: calm.ratePerSecond })
  say(`run ${n}: ${lineOf(report)}`)
  failed += report.problems.length
}
await redis?.dispose()
await Promise.all(nodes.toReversed().map((node) => node.dispose()))
process.exitCode = failed === 0 ? 0 : 1
