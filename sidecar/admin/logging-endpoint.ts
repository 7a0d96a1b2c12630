/** `/logging`: levels of the process log, per component, while the proxy runs. */
import { isLogLevel, LOG_LEVELS } from '../observability/logging.ts'
import { type AdminRequest, type AdminResponse, type Endpoint, text } from './message.ts'
import type { ServerControl } from './server-control.ts'

const USAGE =
  '\nusage: /logging?<name>=<level> (change single level)\n' +
  'usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n' +
  'usage: /logging?level=<level> (change all levels)\n' +
  `levels: ${LOG_LEVELS.join(' ')} \n`

export function loggingEndpoints(control: ServerControl): Endpoint[] {
  return [
    {
      path: '/logging',
      help: 'query/change logging levels',
      mutates: true,
      params: [
        { name: 'paths', help: 'Change multiple logging levels by setting to <name1>:<level1>,<name2>:<level2>' },
        { name: 'level', help: 'desired logging level, for all loggers', choices: ['', ...LOG_LEVELS] },
      ],
      handle: request => logging(control, request),
    },
  ]
}

function logging({ logs }: ServerControl, { query }: AdminRequest): AdminResponse {
  const problem = change(logs, [...query])
  let active = 'active loggers:\n'
  for (const [name, level] of logs.levels()) active += `  ${name}: ${level}\n`
  active += '\n'
  return problem === undefined ? text(active) : text(`error: ${problem}\n${USAGE}${active}`, 400)
}

/** Why the change was refused; nothing is changed then. */
function change(logs: ServerControl['logs'], params: readonly (readonly [string, string])[]): string | undefined {
  // A form on a page sends every field, also the empty ones: an empty value asks for nothing.
  const given = params.filter(([, value]) => value !== '')
  if (given.length > 1) return 'invalid number of parameters'
  const [name, value] = given[0] ?? []
  if (name === undefined || value === undefined) return undefined
  if (name === 'level') {
    if (!isLogLevel(value)) return 'unknown logger level'
    logs.setAll(value)
    return undefined
  }
  const pairs = name === 'paths' ? value.split(',').map(pair => pair.split(':')) : [[name, value]]
  const known = new Set([...logs.levels()].map(([component]) => component))
  for (const [component = '', level = '', ...more] of pairs) {
    if (more.length > 0) return 'unknown logger level'
    if (!isLogLevel(level)) return 'unknown logger level'
    if (!known.has(component)) return 'unknown logger name'
  }
  for (const [component, level] of pairs) if (isLogLevel(level!)) logs.set(component!, level)
  return undefined
}
