/** The list of endpoints for a browser, as Envoy's `/`: links for what only reads, buttons for what changes something. */
import type { Endpoint, EndpointParam } from './message.ts'

const STYLE = `
  body { font: 16px/1.4 system-ui, sans-serif; margin: 2rem; }
  td, th { padding: 2px 12px 2px 0; text-align: left; vertical-align: top; }
  tr.param td:first-child { padding-left: 24px; }
  tr.param td { color: #555; font-size: 14px; }
`

export function homePage(endpoints: readonly Endpoint[]): string {
  const rows = endpoints.filter(({ path }) => path !== '/').map(row)
  return `<!DOCTYPE html>
<html lang='en'>
<head>
<meta charset='utf-8'>
<title>Hopwise Admin</title>
<style>${STYLE}</style>
</head>
<body>
<table>
<thead><tr><th>Command</th><th>Description</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
</body>
</html>
`
}

function row({ path, help, params = [], mutates }: Endpoint): string {
  const name = path.slice(1)
  const id = name.replace(/\W/g, '-')
  const plain = !mutates && params.length === 0
  const action = plain
    ? `<a href='${name}'>${name}</a>`
    : `<form action='${name}' method='${mutates ? 'post' : 'get'}' id='${id}'><button>${name}</button></form>`
  const lines = [`<tr><td>${action}</td><td>${escapeHtml(help)}</td></tr>`]
  for (const param of params)
    lines.push(`<tr class='param'><td>${input(param, id)}</td><td>${escapeHtml(param.help)}</td></tr>`)
  return lines.join('\n')
}

function input({ name, choices, flag }: EndpointParam, form: string): string {
  if (flag) return `${name} <input type='checkbox' name='${name}' form='${form}'>`
  if (choices === undefined) return `${name} <input name='${name}' form='${form}'>`
  const options = ['', ...choices.filter(choice => choice !== '')].map(choice => `<option>${choice}</option>`).join('')
  return `${name} <select name='${name}' form='${form}'>${options}</select>`
}

function escapeHtml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;')
}
