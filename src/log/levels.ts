/** The levels of log records: syslog's, 0 (most severe) to 7. */
export const LEVELS = ['EMERGENCY', 'ALERT', 'CRITICAL', 'ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'] as const

/** How severe a log record is, by name. */
export type LevelName = (typeof LEVELS)[number]

/** From which level on records go to stderr: 'UNSENT' is only what the bus cannot take, 'NONE' is nothing at all. */
export type StderrLevel = LevelName | 'UNSENT' | 'NONE'

/** The syslog number of a level: 0 for EMERGENCY, 7 for DEBUG. */
export function levelNumber(level: LevelName): number {
  return LEVELS.indexOf(level)
}
