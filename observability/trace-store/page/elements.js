/** DOM in few words. Text is always set as text, never as markup: much of it came over the network. */

/** `element('td', {class: 'bad'}, 'text', child, …)` */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children)
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children)
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : String(value))
  }
  node.append(...children.filter(child => child !== undefined && child !== ''))
  return node
}

/** A table with a caption for those who do not see what stands above it. */
export function table(heads, rows) {
  const head = element('tr', {}, ...heads.map(text => element('th', { scope: 'col' }, text)))
  const body = rows.map(cells =>
    element('tr', {}, ...cells.map(cell => (cell instanceof HTMLTableCellElement ? cell : element('td', {}, cell)))),
  )
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...body))
}

/** Replaces only what has changed, so that the focus of a keyboard user stays where it is. */
export function replace(place, node) {
  const old = place.firstElementChild
  if (old?.isEqualNode(node)) return
  const focused = document.activeElement
  const href = place.contains(focused) ? focused.getAttribute('href') : null
  place.replaceChildren(node)
  if (href !== null) place.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus()
}

export function rate(perSecond) {
  return perSecond >= 10 || perSecond === 0 ? perSecond.toFixed(0) : perSecond.toFixed(1)
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString()
}
