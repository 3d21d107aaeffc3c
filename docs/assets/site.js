// What a page does beyond being read: theme, search, the place in the table of contents, keys for boxes that scroll.
const $ = (selector, root = document) => root.querySelector(selector)
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)]
const root = document.documentElement

// theme: the reader's choice is kept, until then the system's holds
$('#site-theme').hidden = false
$('#site-theme').onclick = () => { localStorage.theme = root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark' }

// boxes that scroll sideways can be reached by Tab
const reachable = new ResizeObserver(entries => {
  for (const { target } of entries) target.toggleAttribute('tabindex', false), target.scrollWidth > target.clientWidth && (target.tabIndex = 0)
})
$$('pre, .scroll, .math.display').forEach(box => reachable.observe(box))

// table of contents: the last heading above the middle of the window is where we are
const links = new Map($$('#site-contents a').map(a => [decodeURIComponent(a.hash.slice(1)), a]))
const headings = [...links.keys()].map(id => document.getElementById(id))
const here = () => {
  const passed = headings.findLast(h => h.getBoundingClientRect().top < innerHeight / 3) ?? headings[0]
  for (const [id, a] of links) id === passed?.id ? a.setAttribute('aria-current', 'true') : a.removeAttribute('aria-current')
}
if (links.size) addEventListener('scroll', () => requestAnimationFrame(here), { passive: true }), here()

// search: the index is fetched when the box is opened first
const dialog = $('#site-search'), input = $('input', dialog), list = $('ol', dialog)
let index
const words = text => text.split(/[^\p{L}\p{N}_]+/u).flatMap(w => w.includes('_') ? [w, ...w.split('_')] : [w]).filter(Boolean)
const load = async () => {
  const [{ default: MiniSearch }, sections] = await Promise.all([import('minisearch'), fetch('assets/search.json').then(r => r.json())])
  const found = new MiniSearch({ fields: ['title', 'page', 'text'], storeFields: ['title', 'page', 'url', 'text'], tokenize: words,
    searchOptions: { boost: { title: 4, page: 2 }, prefix: true, fuzzy: term => term.length > 4 ? 0.2 : 0, combineWith: 'AND' } })
  found.addAll(sections)
  return found
}
const open = () => { dialog.showModal(); input.select(); index ??= load() }
const escape = text => text.replace(/[&<>]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c])
const mark = (text, terms) => escape(text).replace(new RegExp(`(${terms.map(t => t.replace(/\W/g, '\\$&')).join('|')})`, 'gi'), '<mark>$1</mark>')
const excerpt = ({ text, terms }) => {
  const at = Math.max(0, Math.min(...terms.map(t => text.toLowerCase().indexOf(t)).filter(i => i >= 0), text.length) - 60)
  return mark((at ? '…' : '') + text.slice(at === text.length - 60 ? 0 : at, at + 160), terms)
}
const select = item => {
  $$('[role=option]', list).forEach(li => li.setAttribute('aria-selected', li === item))
  input.setAttribute('aria-activedescendant', item?.id ?? '')
  item?.scrollIntoView({ block: 'nearest' })
}
const show = async () => {
  const query = input.value.trim(), hits = query ? (await index).search(query).slice(0, 12) : []
  if (query !== input.value.trim()) return
  list.innerHTML = hits.map((hit, i) => `<li role="option" id="hit-${i}" aria-selected="false"><a href="${hit.url}" tabindex="-1">
    ${mark(hit.title, hit.terms)} <small>${escape(hit.page)}</small><p>${excerpt(hit)}</p></a></li>`).join('')
    || (query ? '<li class="none" role="option" aria-disabled="true">Nothing found.</li>' : '')
  select($('li[id]', list))
}
$('#site-find').hidden = false
$('#site-find').onclick = open
input.oninput = show
input.onkeydown = event => {
  const items = $$('li[id]', list), at = items.findIndex(li => li.getAttribute('aria-selected') === 'true')
  if (event.key === 'ArrowDown') select(items[(at + 1) % items.length])
  else if (event.key === 'ArrowUp') select(items.at(at - 1))
  else if (event.key === 'Enter') $('a', items[at] ?? list)?.click()
  else return
  event.preventDefault()
}
dialog.onclick = event => { if (event.target === dialog || event.target.closest('a')) dialog.close() }
addEventListener('keydown', event => {
  const typing = event.target.closest?.('input, textarea, select, [contenteditable]')
  if ((event.key === '/' && !typing) || (event.key === 'k' && (event.ctrlKey || event.metaKey))) { event.preventDefault(); open() }
})
