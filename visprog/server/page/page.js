"use strict";

// Whatever comes from the server, an image or a model is put into the page as text. The one exception is the evidence,
// which the server has made as HTML: it is shown in a sandboxed frame that runs no scripts.

const LIMIT_OF_RETRIES = 30; // while the conversation is still ending the question before

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const html = window.trustedTypes?.createPolicy("evidence", { createHTML: (text) => text }) ?? { createHTML: (text) => text };

const state = {
  token: "", // in memory only
  about: null, // what the server says of itself
  files: [], // {file, preview}
  chat: null, // {id, follows} of the conversation about these files
  running: null, // AbortController of the question that is being answered
};

// -- the server ----------------------------------------------------------------------------------------------------

class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A response of the server, with the token if it needs one. Throws a Problem for any status but 200. */
async function request(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers };
    if (state.token) headers.Authorization = `Bearer ${state.token}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "The server cannot be reached: it was stopped, or the connection broke. Ask again when it runs.");
    }
    if (response.ok) return response;
    if (response.status === 401) {
      await askForToken(state.token !== "");
      continue;
    }
    const said = await response.json().catch(() => ({}));
    throw new Problem(response.status, said.message || `The server answered with HTTP ${response.status}`);
  }
}

/** The events of a response, one after another: {name, data}. */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      part = { done: true };
    }
    if (part.done) return;
    const blocks = (text + part.value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.event) yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

function askForToken(isWrong) {
  page["token-wrong"].hidden = !isWrong;
  page["token-text"].value = "";
  if (!page.token.open) page.token.showModal();
  return new Promise((resolve) => {
    page["token-form"].onsubmit = () => {
      state.token = page["token-text"].value.trim();
      resolve();
    };
    page.token.oncancel = (event) => event.preventDefault();
  });
}

/** A form with the images or the video, and with further fields. */
function formOf(fields = {}) {
  const form = new FormData();
  for (const { file } of state.files) form.append("images", file, file.name);
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

/** Ask in the conversation, which is begun if there is none, or anew if it has ended; without one if there is no room. */
async function askServer(question, signal, turn) {
  const fields = { question, evidence: true, html: true };
  const post = { method: "POST", headers: { Accept: "text/event-stream" }, signal };
  for (let tries = 1; ; tries++) {
    try {
      if (!state.chat) {
        turn.progress("Sending…");
        state.chat = await (await request("/v1/chats", { method: "POST", body: formOf(), signal })).json();
      }
      turn.progress("Waiting for the server…");
      const headers = { ...post.headers, "Content-Type": "application/json" };
      return await request(`/v1/chats/${state.chat.id}/ask`, { ...post, headers, body: JSON.stringify(fields) });
    } catch (error) {
      if (error.status === 429 && !state.chat) return await request("/v1/ask", { ...post, body: formOf(fields) });
      if (error.status === 404 && tries === 1) {
        if (state.chat.follows) turn.caution("The conversation had ended: this question is answered by itself.");
        state.chat = null;
      } else if (error.status === 409 && tries < LIMIT_OF_RETRIES) {
        turn.progress("Waiting for the end of the question before…");
        await new Promise((resolve) => setTimeout(resolve, 1000));
        signal.throwIfAborted();
      } else {
        throw error;
      }
    }
  }
}

function endChat() {
  const chat = state.chat;
  state.chat = null;
  if (!chat) return;
  const headers = state.token ? { Authorization: `Bearer ${state.token}` } : {};
  fetch(`/v1/chats/${chat.id}`, { method: "DELETE", headers, keepalive: true }).catch(() => {});
}

// -- images and videos ---------------------------------------------------------------------------------------------

const isVideo = (file) => file.type.startsWith("video/") || /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|flv|ogv|wmv|3gp)$/i.test(file.name);

/** Why a file cannot be added; empty if it can. */
function refusal(file) {
  const limits = state.about?.limits;
  const most = isVideo(file) ? limits?.video_bytes : limits?.bytes;
  const others = state.files.map((each) => each.file);
  if (!/^(image|video)\//.test(file.type) && !isVideo(file)) return `${file.name} is neither an image nor a video.`;
  if (isVideo(file) && most === 0) return "This server reads no videos: it needs visprog[video].";
  if (others.length && (isVideo(file) || others.some(isVideo)))
    return "A question is about one video, or about images: remove the one or the others.";
  const size = file.size + others.reduce((sum, each) => sum + each.size, 0);
  if (limits && size > most) return `${file.name} is too large: this server takes ${megabytes(most)}.`;
  if (limits && others.length >= limits.images) return `This server takes ${limits.images} images.`;
  return "";
}

function addFiles(files) {
  let problem = "";
  for (const file of files) {
    const refused = refusal(file);
    problem ||= refused;
    if (!refused) addFile(file);
  }
  complain(problem);
}

function addFile(file) {
  const item = page.preview.content.cloneNode(true).firstElementChild;
  const shown = document.createElement(isVideo(file) ? "video" : "img");
  const url = URL.createObjectURL(file);
  if (isVideo(file)) Object.assign(shown, { controls: true, muted: true, preload: "metadata" });
  else shown.alt = `Preview of ${file.name}`;
  shown.src = url;
  item.querySelector("figure").prepend(shown);
  item.querySelector("figcaption").textContent = file.name;
  const button = item.querySelector("button");
  button.setAttribute("aria-label", `Remove ${file.name}`);
  const entry = { file };
  button.onclick = () => {
    URL.revokeObjectURL(url);
    item.remove();
    state.files = state.files.filter((each) => each !== entry);
    filesChanged(`${file.name} was removed`);
    page.files.focus();
  };
  page.previews.append(item);
  state.files.push(entry);
  filesChanged(`${file.name} was added`);
}

function filesChanged(what) {
  endChat();
  say(what);
  showNote();
}

async function useExample() {
  try {
    const data = await (await request("/example.png")).blob();
    addFiles([new File([data], "signs.png", { type: "image/png" })]);
    page.question.value = "What is written on the red octagon?";
    page.question.focus();
  } catch (error) {
    complain(error.message);
  }
}

// -- questions and answers -----------------------------------------------------------------------------------------

/** One question with its steps and its answer, in the page. */
class Turn {
  constructor(question) {
    this.element = page.turn.content.cloneNode(true).firstElementChild;
    this.part = (name) => this.element.querySelector(name);
    this.part(".question").textContent = question;
    this.calls = new Map();
    this.summary = "";
    page.turns.append(this.element);
    this.element.scrollIntoView({ block: "nearest" });
  }

  progress(text) {
    this.part(".progress").textContent = text;
    if (text) say(text);
  }

  step(text, className = "") {
    const item = document.createElement("li");
    item.className = className;
    item.textContent = text;
    this.part(".steps").hidden = false;
    this.part(".steps").open = true;
    this.part(".steps ol").append(item);
    return item;
  }

  caution(text) {
    const item = document.createElement("li");
    item.textContent = `Caution: ${text}`;
    this.part(".cautions").append(item);
  }

  event({ name, data }) {
    const handle = {
      planned: () => this.planned(data),
      checked: () => this.checked(data),
      call_started: () => this.callStarted(data),
      call_ended: () => this.callEnded(data),
      answered: () => (this.summary = data.value),
      left_out: () => this.step(`${data.events} further steps are not shown.`),
      evidence: () => this.evidence(data.html),
      answer: () => this.answer(data),
      problem: () => this.failed(data.message),
    }[name];
    handle?.();
  }

  planned({ program, planner, seconds }) {
    if (!program) return this.step(`${planner} wrote no program (${duration(seconds)})`, "wrong");
    this.step(`Program written by ${planner} in ${duration(seconds)}`);
    this.showProgram(program);
    this.progress("Checking the program…");
  }

  checked({ diagnostics }) {
    for (const found of diagnostics) this.step(`Check, line ${found.line}: ${found.message}`, found.severity === "error" ? "wrong" : "");
    if (!diagnostics.length) this.step("Program checked");
    this.progress("Running the program…");
  }

  callStarted({ call, tool, arguments: given, line }) {
    const words = Object.entries(given).map(([name, value]) => `${name}: ${value}`);
    this.calls.set(call, this.step(`${line ? `Line ${line}: ` : ""}${tool}(${words.join(", ")})`, "pending"));
  }

  callEnded({ call, result, error, cached, seconds, backend }) {
    const item = this.calls.get(call);
    if (!item) return;
    item.className = error ? "wrong" : "";
    const facts = document.createElement("span");
    facts.className = error ? "wrong" : "result";
    facts.textContent = ` → ${error || result} (${[cached ? "cached" : duration(seconds), backend].filter(Boolean).join(", ")})`;
    item.append(facts);
  }

  showProgram(program) {
    this.part(".program").hidden = !program;
    this.part(".program code").textContent = program;
  }

  evidence(text) {
    const link = this.part(".save");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/html" }));
    const details = this.part(".evidence");
    details.hidden = false;
    details.ontoggle = () => {
      if (details.open && !this.part("iframe").srcdoc) this.part("iframe").srcdoc = html.createHTML(text);
    };
  }

  answer(answer) {
    this.progress("");
    this.part(".steps").open = false;
    this.showProgram(answer.program);
    const words = answer.value === null ? "" : plainWords(answer.value) ?? this.summary;
    this.conclude(answer.status, words, answer.message, answer.cautions);
    for (const digest of imagesIn(answer.value)) this.showImage(answer.pictures?.[digest]);
    if (answer.status === "answered") this.part(".evidence").open = true;
  }

  conclude(status, words, message, cautions = []) {
    const box = this.part(".answer");
    box.hidden = false;
    box.classList.add(status);
    this.part(".badge").textContent = status;
    this.part(".value").textContent = words;
    this.part(".message").textContent = message;
    for (const caution of cautions) this.caution(caution);
    say(`${status}: ${words || message}`);
    this.element.scrollIntoView({ block: "nearest" });
  }

  showImage(found) {
    if (!found) return;
    const bytes = Uint8Array.from(atob(found.data), (letter) => letter.charCodeAt(0));
    const url = URL.createObjectURL(new Blob([bytes], { type: found.mime }));
    const image = document.createElement("img");
    Object.assign(image, { src: url, alt: "Image that is the answer" });
    const link = document.createElement("a");
    Object.assign(link, { href: url, textContent: "Save the image" });
    link.download = `answer.${found.mime === "image/png" ? "png" : "jpg"}`;
    this.part(".results").append(image, link);
  }

  failed(message) {
    this.progress("");
    this.conclude("error", "", message);
  }

  stopped() {
    for (const item of this.calls.values()) item.classList.remove("pending");
    this.progress("");
    this.conclude("stopped", "", "You stopped this question.");
  }
}

async function ask() {
  const question = page.question.value.trim();
  if (state.running) return;
  if (!state.files.length) return complain("Choose an image or a video first.");
  if (!question) {
    page.question.focus();
    return complain("Type a question.");
  }
  complain("");
  page.question.value = "";
  const turn = new Turn(question);
  const running = (state.running = new AbortController());
  busy(true);
  try {
    const response = await askServer(question, running.signal, turn);
    turn.progress("Writing a program…");
    let ended = false;
    for await (const event of eventsOf(response)) {
      turn.event(event);
      ended ||= event.name === "answer" || event.name === "problem";
    }
    running.signal.throwIfAborted();
    if (!ended) turn.failed("The server ended before it answered: ask again when it runs.");
  } catch (error) {
    if (running.signal.aborted) turn.stopped();
    else turn.failed(error.message);
  } finally {
    state.running = null;
    busy(false);
    showNote();
  }
}

function busy(is) {
  page.ask.disabled = is;
  page.ask.hidden = is;
  page.stop.hidden = !is;
  for (const button of document.querySelectorAll("#inputs button, #files")) button.disabled = is;
  (is ? page.stop : page.question).focus();
}

// -- words ---------------------------------------------------------------------------------------------------------

/** A plain value in words; null for any other. */
function plainWords(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  if (typeof value === "string") return value || "nothing";
  if (!Array.isArray(value)) return null;
  const parts = value.map(plainWords);
  return parts.includes(null) ? null : parts.join(", ") || "nothing";
}

/** The digests of the images that a value is, or that a list of values holds. */
function imagesIn(value) {
  const values = Array.isArray(value) ? value : [value];
  return values.filter((each) => each?.type === "Image").map((each) => each.digest);
}

const duration = (seconds) => (seconds < 1 ? `${Math.max(1, Math.round(1000 * seconds))} ms` : `${seconds.toFixed(1)} s`);
const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MB`;

/** Say something to a screen reader. */
function say(text) {
  page.status.textContent = text;
}

function complain(text) {
  page.problem.textContent = text;
  page.problem.hidden = !text;
}

function showNote() {
  const follows = state.chat ? state.chat.follows : state.about?.follows;
  page.note.textContent = !page.turns.children.length || state.about === null ? "Enter asks, Shift+Enter begins a new line."
    : follows ? "A further question may refer to those before."
    : "Each question stands alone here: this planner does not know the questions before. Ask whole questions.";
}

// -- the start -----------------------------------------------------------------------------------------------------

page.files.onchange = () => {
  addFiles([...page.files.files]);
  page.files.value = "";
};
page.example.onclick = useExample;
page.stop.onclick = () => state.running?.abort();
page.form.onsubmit = (event) => {
  event.preventDefault();
  ask();
};
page.question.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask();
};
addEventListener("paste", (event) => {
  if (event.clipboardData.files.length && !state.running) addFiles([...event.clipboardData.files]);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  page.inputs.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) page.inputs.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  page.inputs.classList.remove("over");
  if (!state.running) addFiles([...event.dataTransfer.files]);
});
addEventListener("pagehide", endChat);

request("/v1/about")
  .then((response) => response.json())
  .then((about) => {
    state.about = about;
    page.planner.textContent = `visprog ${about.version} · planner: ${about.planner}`;
    showNote();
  })
  .catch((error) => complain(error.message));
showNote();
