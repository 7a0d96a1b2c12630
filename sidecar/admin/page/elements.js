/** DOM in few words. Text is always set as text, never as markup: much of it came over the network. */

/** `element('td', {class: 'bad'}, 'text', child, …)` */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children)
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children)
}

function fill(node, attributes, children) {
  set(node, attributes)
  node.append(...children.filter(child => child !== undefined && child !== ''))
  return node
}

/** Attributes by name; one that is undefined or false is taken off. */
export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) node.removeAttribute(name)
    else {
      const text = value === true ? '' : String(value)
      if (node.getAttribute(name) !== text) node.setAttribute(name, text)
    }
  }
}

/** Leaves a text that has not changed alone, so that it is not read out again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text
}

export const place = id => document.getElementById(id)

/** A table whose rows are cells: texts, nodes or whole `td`. A row may be `{key, cells, …attributes}`. */
export function table(heads, rows) {
  const head = element('tr', {}, ...heads.map(text => element('th', { scope: 'col' }, text)))
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows.map(tableRow)))
}

function tableRow(row) {
  const { cells, ...attributes } = Array.isArray(row) ? { cells: row } : row
  return element(
    'tr',
    attributes,
    ...cells.map(cell => (cell instanceof HTMLTableCellElement ? cell : element('td', {}, cell))),
  )
}

/**
 * Puts `node` in the place of what is there, child by child, and leaves what is equal: the focus of a keyboard user stays
 * where it is, an open part stays open, and a screen reader hears only what is new.
 */
export function replace(where, node) {
  const old = where.firstElementChild
  if (old === null) where.append(node)
  else patch(old, node)
}

function patch(old, next) {
  if (old.isEqualNode(next)) return
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) {
    old.replaceWith(next)
    return
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.data = next.data
    return
  }
  for (const { name } of [...old.attributes]) {
    // What the reader has opened stays open.
    if (!next.hasAttribute(name) && !(name === 'open' && old.nodeName === 'DETAILS')) old.removeAttribute(name)
  }
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  const olds = [...old.childNodes]
  const nexts = [...next.childNodes]
  if (nexts.some(child => keyOf(child) !== undefined)) patchKeyed(old, olds, nexts)
  else {
    for (const [i, child] of nexts.entries()) {
      if (olds[i] === undefined) old.append(child)
      else patch(olds[i], child)
    }
    for (const child of olds.slice(nexts.length)) child.remove()
  }
}

/** Rows that come in at the top must not make all others new. */
function patchKeyed(parent, olds, nexts) {
  const byKey = new Map(olds.map(child => [keyOf(child), child]))
  const kept = new Set()
  let before = null
  for (const next of nexts.toReversed()) {
    const old = byKey.get(keyOf(next))
    let child = next
    if (old !== undefined && !kept.has(old)) {
      patch(old, next)
      child = old
    }
    kept.add(child)
    if (child.parentNode !== parent || child.nextSibling !== before) parent.insertBefore(child, before)
    before = child
  }
  for (const old of olds) if (!kept.has(old)) old.remove()
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? (node.getAttribute('data-key') ?? undefined) : undefined
}

export function rateText(perSecond) {
  if (perSecond === undefined) return '…'
  return perSecond >= 10 || perSecond === 0 ? perSecond.toFixed(0) : perSecond.toFixed(1)
}

/** A share that is not nothing is never shown as 0 %. */
export function percentText(share) {
  if (share > 0 && share < 0.01) return '< 1 %'
  return `${Math.round(share * 100)} %`
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString()
}

export function ageText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`
}
