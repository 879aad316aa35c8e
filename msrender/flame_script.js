/* The flamegraph's behaviour. Runs inside the SVG, from a file, without a network. Names from the trace are read
 * from text nodes and written by textContent only; there is no markup, no inline handler, no eval. */
"use strict";
(function () {
	const SVG = "http://www.w3.org/2000/svg", HTML = "http://www.w3.org/1999/xhtml";
	const CHAR = 7.3, ROW = 17, MARGIN = 10, FOOT = 30, LEAST = 0.1;
	const svg = document.currentScript.closest("svg");
	const group = svg.querySelector(".frames");
	const width = svg.viewBox.baseVal.width - 2 * MARGIN, height = svg.viewBox.baseVal.height;
	const boxes = [];
	let zoomed, current;

	/* The tree from the order of the boxes and their heights. `end` is the index after the last descendant. */
	function readBoxes() {
		const open = [];
		let firstY;
		for (const g of group.children) {
			const rect = g.querySelector("rect"), y = +rect.getAttribute("y");
			const title = g.querySelector("title").textContent;
			const box = {
				g, rect, title, y, text: g.querySelector("text"), index: boxes.length, end: 0,
				name: title.split("\n", 1)[0], isRest: g.classList.contains("rest"),
				x: +rect.getAttribute("x"), w: +rect.getAttribute("width"),
			};
			firstY = firstY === undefined ? y : firstY;
			box.depth = Math.round(Math.abs(y - firstY) / ROW);
			while (open.length > box.depth)
				open.pop().end = box.index;
			box.parent = open[open.length - 1];
			open.push(box);
			g.box = box;
			boxes.push(box);
		}
		for (const box of open)
			box.end = boxes.length;
	}

	function element(namespace, name, parent, attributes) {
		const e = document.createElementNS(namespace, name);
		for (const key in attributes)
			e.setAttribute(key, attributes[key]);
		parent.appendChild(e);
		return e;
	}

	function label(box, x, w) {
		const columns = Math.floor((w - 6) / CHAR), letters = Array.from(box.name);
		if (columns < 3 || box.isRest) {
			if (box.text)
				box.text.textContent = "";
			return;
		}
		if (!box.text)
			box.text = element(SVG, "text", box.g, {y: box.y + 12});
		box.text.setAttribute("x", x + 3);
		box.text.textContent = letters.length <= columns ? box.name : letters.slice(0, columns - 1).join("") + "\u2026";
	}

	function place(box, x, w) {
		const isGone = w < LEAST;
		box.g.classList.toggle("gone", isGone);
		if (isGone)
			return;
		box.rect.setAttribute("x", x);
		box.rect.setAttribute("width", w);
		label(box, x, w);
	}

	function zoom(target) {
		const scale = target.w > 0 ? width / target.w : 1;
		zoomed = target;
		for (const box of boxes) {
			const isInside = box.index >= target.index && box.index < target.end;
			const isAbove = box.index < target.index && box.end >= target.end;
			box.g.classList.toggle("above", isAbove);
			if (isInside)
				place(box, MARGIN + (box.x - target.x) * scale, box.w * scale);
			else if (isAbove)
				place(box, MARGIN, width);
			else
				place(box, 0, 0);
		}
		resetButton.classList.toggle("gone", target === boxes[0]);
		select(target);
	}

	function select(box) {
		if (current)
			current.g.classList.remove("at");
		current = box;
		box.g.classList.add("at");
		show(box);
	}

	function show(box) {
		details.textContent = box.title.split("\n").join(" \u00b7 ");
	}

	/* A plain text is looked for anywhere in the name, whatever its case; /text/ is a regular expression. */
	function matcher(text) {
		if (text.length > 2 && text.startsWith("/") && text.endsWith("/")) {
			try {
				const expression = new RegExp(text.slice(1, -1), "i");
				return (name) => expression.test(name);
			} catch (e) {
				return null;
			}
		}
		const lower = text.toLowerCase();
		return (name) => name.toLowerCase().includes(lower);
	}

	/* What lies on a hit counts with it: recursion does not count twice. */
	function search(text) {
		const matches = text && matcher(text);
		let sum = 0, hits = 0, coveredTo = 0;
		for (const box of boxes) {
			const isHit = Boolean(matches) && !box.isRest && box !== boxes[0] && matches(box.name);
			box.g.classList.toggle("hit", isHit);
			hits += isHit;
			if (isHit && box.index >= coveredTo) {
				sum += box.w;
				coveredTo = box.end;
			}
		}
		if (!text)
			matched.textContent = "";
		else if (!matches)
			matched.textContent = "not a regular expression";
		else
			matched.textContent = "matched " + (boxes[0].w ? 100 * sum / boxes[0].w : 0).toFixed(1) + " % in " + hits;
	}

	function neighbour(box, step) {
		const from = box.parent ? box.parent.index + 1 : 0, to = box.parent ? box.parent.end : boxes.length;
		const row = boxes.slice(from, to).filter((b) => b.depth === box.depth && !b.g.classList.contains("gone"));
		return row[row.indexOf(box) + step] || box;
	}

	function firstCallee(box) {
		const next = boxes[box.index + 1];
		return next && next.parent === box && !next.g.classList.contains("gone") ? next : box;
	}

	function onKey(event) {
		const isInverted = group.classList.contains("inverted");
		if (event.target === input) {
			if (event.key === "Escape") {
				input.value = "";
				search("");
				input.blur();
			}
			return;
		}
		switch (event.key) {
		case "Escape":
			zoom(boxes[0]);
			break;
		case "Enter":
			if (!current.isRest)
				zoom(current);
			break;
		case "/":
			input.focus();
			break;
		case "f":
			if (!event.ctrlKey && !event.metaKey)
				return;
			input.focus();
			break;
		case "ArrowLeft":
			select(neighbour(current, -1));
			break;
		case "ArrowRight":
			select(neighbour(current, 1));
			break;
		case "ArrowUp":
		case "ArrowDown":
			if ((event.key === "ArrowUp") === isInverted)
				select(current.parent || current);
			else
				select(firstCallee(current));
			break;
		default:
			return;
		}
		event.preventDefault();
	}

	/* Deep stacks make a tall picture: the controls stay at the top of what is seen, the details at its bottom. */
	function follow() {
		const view = svg.getScreenCTM();
		const top = Math.max(0, -view.f / view.d), bottom = Math.min(height, (window.innerHeight - view.f) / view.d);
		controls.setAttribute("transform", "translate(0 " + top + ")");
		footer.setAttribute("transform", "translate(0 " + (bottom - height) + ")");
	}

	readBoxes();
	const right = MARGIN + width;
	const footer = element(SVG, "g", svg, {});
	element(SVG, "rect", footer, {x: 0, y: height - FOOT, width: right + MARGIN, height: FOOT, class: "backdrop"});
	const details = element(SVG, "text", footer, {x: MARGIN, y: height - 10, class: "details"});
	const controls = element(SVG, "g", svg, {});
	element(SVG, "rect", controls, {x: right - 290, y: 0, width: 290 + MARGIN, height: 70, class: "backdrop"});
	const matched = element(SVG, "text", controls, {x: right, y: 44, "text-anchor": "end", class: "matched"});
	const resetButton = element(SVG, "text", controls, {x: right, y: 62, class: "button reset gone", "text-anchor": "end"});
	resetButton.textContent = "reset zoom";
	const holder = element(SVG, "foreignObject", controls, {x: right - 280, y: 8, width: 280, height: 22});
	const input = element(HTML, "input", holder, {type: "text", placeholder: "search, or /regular expression/",
		"aria-label": "search functions", spellcheck: "false"});

	input.addEventListener("input", () => search(input.value));
	resetButton.addEventListener("click", () => zoom(boxes[0]));
	group.addEventListener("click", (event) => {
		const g = event.target.closest("g");
		if (g && g.box && !g.box.isRest)
			zoom(g.box);
	});
	group.addEventListener("pointerover", (event) => {
		const g = event.target.closest("g");
		if (g && g.box)
			show(g.box);
	});
	group.addEventListener("pointerleave", () => show(current));
	document.addEventListener("keydown", onKey);
	window.addEventListener("scroll", follow);
	window.addEventListener("resize", follow);
	zoom(boxes[0]);
	if (!group.classList.contains("inverted"))
		window.scrollTo(0, height); /* the root is at the bottom */
	follow();
})();
