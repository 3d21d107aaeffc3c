// The editor of live cells: CodeMirror with what a few lines of Python need. Bundled by esbuild, loaded when it is first used.
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { python } from '@codemirror/lang-python';
import { Prec } from '@codemirror/state';
import { EditorView, highlightSpecialChars, keymap } from '@codemirror/view';
import { classHighlighter } from '@lezer/highlight';

/** An editor in `parent`; `onChange(text)` at each change, `onRun()` for Shift or Ctrl with Enter. Escape, then Tab, leaves it. */
export function createEditor({ parent, text, label, onChange, onRun }) {
  const run = () => { onRun(); return true; };
  return new EditorView({
    parent,
    doc: text,
    extensions: [
      Prec.highest(keymap.of([{ key: 'Shift-Enter', run }, { key: 'Mod-Enter', run }])),
      keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
      history(), highlightSpecialChars(), indentOnInput(), bracketMatching(), indentUnit.of('    '),
      python(), syntaxHighlighting(classHighlighter),
      EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false', tabindex: '0' }),   // the last for axe, which does not know that it can be focused
      EditorView.updateListener.of(update => { if (update.docChanged) onChange(update.state.doc.toString()); }),
    ],
  });
}
