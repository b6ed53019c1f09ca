// H5Web, as its documentation sets it up, on one file served beside the page. Its address names the file: ?file=NAME
import '@h5web/app/dist/styles.css';
import { App } from '@h5web/app';
import { H5WasmBufferProvider } from '@h5web/h5wasm';
import { createRoot } from 'react-dom/client';

const filename = new URLSearchParams(location.search).get('file');
const buffer = await (await fetch(filename)).arrayBuffer();

createRoot(document.getElementById('root')).render(
  <H5WasmBufferProvider filename={filename} buffer={buffer}>
    <App />
  </H5WasmBufferProvider>,
);
