// Formulas to HTML with MathML beside it, at build time: a list of {tex, display} on standard input, a list of {html} or {error} on standard output.
import { readFileSync } from 'node:fs'
import katex from 'katex'

const warn = (code, message) => code === 'newLineInDisplayMode' ? 'ignore' : 'error'
const render = ({ tex, display }) => {
  try { return { html: katex.renderToString(tex, { displayMode: display, throwOnError: true, strict: warn }) } }
  catch (error) { return { error: error.message } }
}
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(render)))
