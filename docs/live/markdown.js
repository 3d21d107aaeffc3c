// What turns an output in Markdown (most tables of these notebooks) into HTML. Bundled by esbuild, loaded with the first such output.
export { marked } from 'marked';
