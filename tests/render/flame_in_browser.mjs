// flame_in_browser.mjs CHROMIUM DIR: drives DIR/small.svg and DIR/hostile.svg over the debugging pipe. No packages.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";

const [browserPath, dir] = process.argv.slice(2);
const browser = spawn(browserPath, ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
	`--user-data-dir=${dir}/profile`, "--window-size=1300,700"], { detached: true, stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const exited = new Promise((resolve) => browser.on("exit", resolve));
const waiting = new Map(), listeners = [];
let nextId = 1, pending = "";

browser.stdio[4].setEncoding("utf8").on("data", (chunk) => {
	const messages = (pending + chunk).split("\0");
	pending = messages.pop();
	for (const message of messages.map((m) => JSON.parse(m))) {
		if (message.id)
			waiting.get(message.id)(message);
		else
			listeners.forEach((listener) => listener(message));
	}
});

/* The browser leads a process group of its own: its renderers go with it. */
function killAll() {
	try {
		process.kill(-browser.pid, "SIGKILL");
	} catch (e) {
		assert.equal(e.code, "ESRCH");
	}
}

function send(method, params = {}, sessionId = undefined) {
	const id = nextId++;
	browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
	return new Promise((resolve, reject) => waiting.set(id, (m) => m.error ? reject(new Error(method + ": " + m.error.message)) : resolve(m.result)));
}

async function openPage(file) {
	const { targetId } = await send("Target.createTarget", { url: "about:blank" });
	const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
	const call = (method, params) => send(method, params, sessionId);
	const page = { errors: [], requests: [] };
	listeners.push((m) => {
		if (m.sessionId !== sessionId)
			return;
		if (m.method === "Runtime.exceptionThrown" || (m.method === "Log.entryAdded" && m.params.entry.level === "error") ||
			m.method === "Page.javascriptDialogOpening")
			page.errors.push(JSON.stringify(m.params));
		if (m.method === "Network.requestWillBeSent")
			page.requests.push(m.params.request.url);
	});
	await Promise.all(["Page", "Runtime", "Log", "Network"].map((domain) => call(domain + ".enable")));
	const loaded = new Promise((resolve) => listeners.push((m) => m.sessionId === sessionId && m.method === "Page.loadEventFired" && resolve()));
	await call("Page.navigate", { url: `file://${dir}/${file}` });
	await loaded;
	page.evaluate = async (expression) => {
		const { result, exceptionDetails } = await call("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
		assert.equal(exceptionDetails, undefined, expression);
		return result.value;
	};
	page.key = async (key, code, text, modifiers = 0) => {
		await call("Input.dispatchKeyEvent", { type: "keyDown", key, windowsVirtualKeyCode: code, text, modifiers });
		await call("Input.dispatchKeyEvent", { type: "keyUp", key, windowsVirtualKeyCode: code, modifiers });
	};
	page.type = (text) => call("Input.insertText", { text });
	page.moveTo = (x, y) => call("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
	page.clickAt = async (x, y) => {
		for (const type of ["mouseMoved", "mousePressed", "mouseReleased"])
			await call("Input.dispatchMouseEvent", { type, x, y, button: type === "mouseMoved" ? "none" : "left", clickCount: type === "mouseMoved" ? 0 : 1 });
	};
	page.clickOn = async (selector) => {
		const [x, y] = await page.evaluate(`(() => { const r = (${selector}).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`);
		await page.clickAt(x, y);
	};
	return page;
}

const boxNamed = (name, nth = 0) => `[...document.querySelectorAll(".frames > g")].filter((g) => g.querySelector("title").textContent.split("\\n")[0] === ${JSON.stringify(name)})[${nth}]`;
const widthOf = (page, name, nth) => page.evaluate(`(() => { const g = ${boxNamed(name, nth)}; return g.classList.contains("gone") ? 0 : +g.querySelector("rect").getAttribute("width"); })()`);
const textOf = (page, selector) => page.evaluate(`document.querySelector(${JSON.stringify(selector)}).textContent`);
const near = (a, b) => assert.ok(Math.abs(a - b) < 0.1, `${a} is not ${b}`);

async function zoomsAndResets(page) {
	near(await widthOf(page, "parse"), 944);
	await page.clickOn(boxNamed("parse") + '.querySelector("rect")');
	near(await widthOf(page, "parse"), 1180);
	near(await widthOf(page, "main"), 1180);
	near(await widthOf(page, "grow", 2), 885);
	assert.equal(await widthOf(page, "emit"), 0);
	assert.equal(await widthOf(page, "jit"), 0);
	assert.match(await textOf(page, ".details"), /^parse · 800 B, 80\.00 %/);
	assert.equal(await page.evaluate(`document.querySelector(".reset").classList.contains("gone")`), false);
	await page.clickOn('document.querySelector(".reset")');
	near(await widthOf(page, "parse"), 944);
	near(await widthOf(page, "emit"), 118);
	assert.equal(await page.evaluate(`document.querySelector(".reset").classList.contains("gone")`), true);
}

async function labelsFollowTheWidth(page) {
	await page.clickOn(boxNamed("jit") + '.querySelector("rect")');
	assert.equal(await page.evaluate(boxNamed("jit") + '.querySelector("text").textContent'), "jit");
	await page.key("Escape", 27);
	near(await widthOf(page, "main"), 1062);
}

async function searches(page) {
	await page.key("/", 191, "/");
	await page.type("GROW");
	assert.equal(await textOf(page, ".matched"), "matched 70.0 % in 3");
	assert.equal(await page.evaluate(`document.querySelectorAll(".hit").length`), 3);
	await page.key("Escape", 27);
	assert.equal(await textOf(page, ".matched"), "");
	assert.equal(await page.evaluate(`document.querySelectorAll(".hit").length`), 0);
	await page.key("f", 70, undefined, 2);
	await page.type("/^(emit|jit)$/");
	assert.equal(await textOf(page, ".matched"), "matched 20.0 % in 2");
	await page.key("Escape", 27);
	await page.key("/", 191, "/");
	await page.type("/(/");
	assert.equal(await textOf(page, ".matched"), "not a regular expression");
	await page.key("Escape", 27);
}

async function walksByKeys(page) {
	await page.moveTo(2, 2); /* or the details would show what the layout brings under the pointer */
	await page.key("Escape", 27);
	await page.key("ArrowUp", 38);
	const first = (await textOf(page, ".details")).split(" · ")[0];
	await page.key("ArrowRight", 39);
	const second = (await textOf(page, ".details")).split(" · ")[0];
	assert.deepEqual([first, second].sort(), ["[cut stack]", "main"]);
	await page.key(first === "main" ? "ArrowLeft" : "ArrowRight", first === "main" ? 37 : 39);
	await page.key("Enter", 13);
	near(await widthOf(page, "main"), 1180);
	await page.key("ArrowDown", 40);
	assert.match(await textOf(page, ".details"), /^all · /);
	await page.key("Escape", 27);
	near(await widthOf(page, "main"), 1062);
}

async function hostileNamesDoNothing() {
	const page = await openPage("hostile.svg");
	assert.ok(await page.evaluate(`document.querySelectorAll(".frames > g").length`) > 40);
	assert.equal(await page.evaluate(`document.querySelectorAll("script").length`), 1);
	await page.clickOn(boxNamed("</script><img src=x onerror=alert(1)>") + '.querySelector("rect")');
	assert.match(await textOf(page, ".details"), /^<\/script><img src=x onerror=alert\(1\)> · /);
	assert.equal(await page.evaluate(`document.querySelectorAll("img").length`), 0);
	finish(page, "hostile.svg");
}

/* Deeper than the window: the root, the search field and the details are in sight at once, and stay there. */
async function tallPicturesOpenAtTheRoot() {
	const page = await openPage("tall.svg");
	const inSight = (element) => page.evaluate(`(() => { const r = ${element}.getBoundingClientRect(); return r.top >= -1 && r.bottom <= innerHeight + 1; })()`);
	const all = async () => [await inSight("document.querySelector('input')"), await inSight("document.querySelector('.details')")];
	assert.ok(await page.evaluate(`document.documentElement.getBoundingClientRect().height > innerHeight`));
	assert.ok(await inSight(boxNamed("main")));
	assert.deepEqual(await all(), [true, true]);
	await page.evaluate(`new Promise((done) => { scrollTo(0, 0); requestAnimationFrame(() => requestAnimationFrame(() => done(0))); })`);
	assert.equal(await inSight(boxNamed("main")), false);
	assert.deepEqual(await all(), [true, true]);
	finish(page, "tall.svg");
}

function finish(page, file) {
	assert.deepEqual(page.errors, []);
	assert.deepEqual(page.requests.filter((url) => !url.endsWith("/" + file)), []);
}

const deadline = setTimeout(() => { killAll(); console.error("the browser does not answer"); process.exit(1); }, 100000);
try {
	const page = await openPage("small.svg");
	await zoomsAndResets(page);
	await labelsFollowTheWidth(page);
	await searches(page);
	await walksByKeys(page);
	finish(page, "small.svg");
	await hostileNamesDoNothing();
	await tallPicturesOpenAtTheRoot();
} finally {
	clearTimeout(deadline);
	killAll();
	await exited;
}
