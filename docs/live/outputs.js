// What a cell shows while it runs: text, pictures, tables, errors, as the messages of the worker bring them.

export const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/** A module of this folder, asked for once more under another name if it failed: some browsers would repeat the failure. */
const failures = {};
export const fetched = (name, folder) => import(new URL(failures[name] ? `${name}?${failures[name]}` : name, folder))
  .catch(error => { failures[name] = (failures[name] ?? 0) + 1; throw error; });

/** Begin a live output; the style sheet hides the stored one meanwhile. */
export function clear(cell) {
  cell.output.replaceChildren();
  cell.output.hidden = cell.clearing = false;
  cell.block.classList.add('live-ran');
}

/** Put a message of the worker into a cell's output; `folder` holds what turns Markdown into HTML. */
export function show(cell, message, folder) {
  const { kind, wait } = message, { output } = cell;
  if (kind === 'clear' && wait) cell.clearing = true;
  else if (kind === 'clear' || cell.clearing) {
    output.style.minHeight = `${output.offsetHeight}px`;       // lest the page jump until the next picture is there
    clear(cell);
  }
  if (kind === 'stream') appendText(output, message.name, message.text);
  if (kind === 'display') display(cell, message, folder);
  if (kind !== 'error') return;
  if (output.hidden) clear(cell);                              // a cell above, which ran quietly until it failed
  output.append(make('pre', { className: 'live-error', tabIndex: 0, textContent: message.text }));
}

/** Text as a terminal shows it: after a carriage return, a line is written over. */
function appendText(output, name, text) {
  let last = output.lastElementChild;
  if (last?.dataset.stream !== name) {
    last = make('pre', { tabIndex: 0 });
    last.dataset.stream = name;
    output.append(last);
  }
  const whole = (last.textContent + text).replaceAll('\r\n', '\n');
  last.textContent = whole.includes('\r') ? whole.split('\n').map(overwritten).join('\n') : whole;
}

/** What a terminal shows of a line: all after its last carriage return, but for one at its end, which waits for what comes. */
const overwritten = line => line.slice(line.slice(0, -1).lastIndexOf('\r') + 1);

function display(cell, { form, data, display, update }, folder) {
  const earlier = update && cell.output.querySelector(`[data-display="${display}"]`), place = earlier || make('div', { className: 'live-display' });
  if (display) place.dataset.display = display;
  if (!earlier) cell.output.append(place);
  fill(place, form, data, cell.alt, folder);
}

async function fill(place, form, data, alt, folder) {
  if (form === 'text') return place.replaceChildren(make('pre', { tabIndex: 0, textContent: data }));
  if (form === 'png') {
    const image = place.querySelector('img') ?? make('img', { alt, onload() { this.style.width = `${this.naturalWidth / 1.5}px`; } });   // 150 dots an inch
    image.src = `data:image/png;base64,${data}`;
    if (!image.parentElement) place.replaceChildren(image);
    return;
  }
  const markdown = form === 'markdown' && await fetched('markdown.js', folder).catch(() => null);
  if (markdown === null) return fill(place, 'text', data);                     // as it is, where it cannot be set
  place.innerHTML = markdown ? markdown.marked.parse(data) : data;
}
