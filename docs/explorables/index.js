// Puts each explorable in the place of its still figure, which remains where there is no JavaScript. Bundled by esbuild.
import * as maths from './maths.js';
import { bnGradient } from './bn-gradient.js';
import { dropoutSpread } from './dropout-spread.js';
import { scaleExplorer } from './scale.js';
import { make } from './parts.js';

const EXPLORABLES = { 'fig-bn-explore': bnGradient, 'fig-dropout-explore': dropoutSpread, 'fig-scale-explore': scaleExplorer };

for (const [id, start] of Object.entries(EXPLORABLES)) {
  const figure = document.getElementById(id), still = figure?.querySelector('img, svg');
  if (!still) continue;
  const place = make('div', { className: 'explorable' });
  place.setAttribute('role', 'group');
  place.setAttribute('aria-label', still.getAttribute('alt') ?? '');
  (still.closest('.scroll') ?? still).replaceWith(place);
  start(place);
}

export { maths };
