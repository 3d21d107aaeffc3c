// What a page does beyond being read: themes, search, the place in the table of contents, keys for boxes that scroll.
const $ = (selector, root = document) => root.querySelector(selector)
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)]
const root = document.documentElement

// Theme: the reader's choice is kept; until there is one, the system's holds.
$('#site-theme').hidden = false
$('#site-theme').onclick = () => { localStorage.theme = root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark' }

// Boxes that scroll sideways can be reached by Tab.
const boxes = $$('pre, .scroll, .math.display')
const reach = box => box.scrollWidth > box.clientWidth ? box.tabIndex = 0 : box.removeAttribute('tabindex')
const sizes = new ResizeObserver(entries => entries.forEach(entry => reach(entry.target)))
boxes.forEach(box => sizes.observe(box))
document.fonts.ready.then(() => boxes.forEach(reach))

// Table of contents: we are below the last heading that has passed the upper third of the window.
const links = $$('#site-contents a')
const headings = links.map(a => document.getElementById(decodeURIComponent(a.hash.slice(1))))
const here = () => {
  const at = Math.max(0, headings.findLastIndex(h => h.getBoundingClientRect().top < innerHeight / 3))
  links.forEach((a, i) => i === at ? a.setAttribute('aria-current', 'true') : a.removeAttribute('aria-current'))
}
$('#site-contents')?.addEventListener('click', event => event.target.closest('a') && event.currentTarget.matches(':popover-open') && event.currentTarget.hidePopover())
if (links.length) addEventListener('scroll', () => requestAnimationFrame(here), { passive: true }), here()

// Search: the index is fetched when the box is first opened. A name such as `dropout_mask` is found whole and by its parts.
const dialog = $('#site-search'), input = $('input', dialog), list = $('#site-results')
const words = text => text.split(/[^\p{L}\p{N}_]+/u).flatMap(w => w.includes('_') ? [w, ...w.split('_')] : [w]).filter(Boolean)
const load = async () => {
  const [{ default: MiniSearch }, sections] = await Promise.all([import('minisearch'), fetch('assets/search.json').then(r => r.json())])
  const index = new MiniSearch({ fields: ['title', 'page', 'text'], storeFields: ['title', 'page', 'url', 'text'], tokenize: words,
    searchOptions: { boost: { title: 4, page: 2 }, prefix: true, fuzzy: word => word.length > 4 && 0.25, combineWith: 'AND' } })
  index.addAll(sections)
  return index
}
let index
const open = () => { dialog.showModal(); input.select(); index ??= load() }

const plain = text => text.replace(/[&<>]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c])
const marked = (text, terms) => plain(text).replace(new RegExp(terms.map(RegExp.escape ?? (t => t)).join('|'), 'gi'), '<mark>$&</mark>')
const excerpt = ({ text, terms }) => {
  const first = text.toLowerCase().search(new RegExp(terms.join('|'))), begin = Math.max(0, first - 60)
  return (begin ? '…' : '') + marked(text.slice(begin, begin + 160), terms)
}
const entry = (hit, i) => `<a role="option" id="hit-${i}" href="${hit.url}" tabindex="-1">
  ${marked(hit.title, hit.terms)} <small>${plain(hit.page)}</small><span>${excerpt(hit)}</span></a>`
const select = item => {
  $$('a', list).forEach(a => a.setAttribute('aria-selected', a === item))
  item ? input.setAttribute('aria-activedescendant', item.id) : input.removeAttribute('aria-activedescendant')
  item?.scrollIntoView({ block: 'nearest' })
}
const show = async () => {
  const query = input.value, hits = (await index).search(query).slice(0, 12)
  if (query !== input.value) return                                // typed on meanwhile
  list.innerHTML = hits.map(entry).join('') || (query.trim() && '<p role="option" aria-disabled="true">Nothing found.</p>')
  select($('a', list))
}
const keys = {
  ArrowDown: (items, at) => select(items[(at + 1) % items.length]),
  ArrowUp: (items, at) => select(items.at(at - 1)),
  Enter: (items, at) => items[at]?.click(),
  Escape: () => dialog.close(),
}
input.oninput = show
input.onkeydown = event => {
  if (!keys[event.key]) return
  event.preventDefault()
  const items = $$('a', list)
  keys[event.key](items, items.findIndex(a => a.getAttribute('aria-selected') === 'true'))
}
dialog.onclick = event => { if (event.target === dialog || event.target.closest('a')) dialog.close() }
$('#site-find').hidden = false
$('#site-find').onclick = open
addEventListener('keydown', event => {
  const typing = event.target.closest?.('input, textarea, select, [contenteditable]')
  if ((event.key === '/' && !typing) || (event.key === 'k' && (event.ctrlKey || event.metaKey))) { event.preventDefault(); open() }
})
