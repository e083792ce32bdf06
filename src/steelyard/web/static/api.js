// Talks to the server of this page and to no other.
const token = document.querySelector('meta[name="token"]').content;

export const MOST_BYTES = 1000000; // of a file that is sent

// Returns the text of a file that somebody chose.
export async function textOf(file) {
  if (file.size > MOST_BYTES) {
    throw new Refused(`${file.name} has ${file.size.toLocaleString("en")} bytes; at most ${MOST_BYTES.toLocaleString("en")} are taken here`);
  }
  return file.text();
}

export class Refused extends Error {}

export async function get(path) {
  return read(await fetch(path));
}

export async function post(path, body, signal) {
  return send("POST", path, body, signal);
}

export async function remove(path) {
  return send("DELETE", path, {});
}

async function send(method, path, body, signal) {
  const headers = { "content-type": "application/json", "x-steelyard-token": token };
  return read(await fetch(path, { method, headers, body: JSON.stringify(body), signal }));
}

async function read(response) {
  let found;
  try {
    found = await response.json();
  } catch (error) {
    throw new Refused("the server gave no answer; is `steelyard web` still running?");
  }
  if (!response.ok) throw new Refused(found.error || `the server answered ${response.status}`);
  return found;
}
