"""report.py PAGE DATA [LOG [WEIGHTS]]: reads a report as a browser would, and checks it against the data set's test
files, the csv of the training and the weights that it ended with. Prints what is wrong; then the exit status is 1."""

import base64
import csv
import html.parser
import json
import math
import re
import statistics
import struct
import sys
import xml.etree.ElementTree
import zlib


class Page(html.parser.HTMLParser):
    """Texts of table rows, images with their captions, and the text as a whole."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.images, self.text, self.tables, self.in_cell = [], [], "", {}, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        for name in ("src", "href"):
            if name in attributes:
                assert attributes[name].startswith("data:"), "the page needs " + attributes[name]
        assert tag not in ("script", "link"), tag
        if tag == "table":
            self.rows = self.tables[attributes["class"]] = []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True
        if tag == "img":
            self.images.append([attributes, ""])

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data
        if self.images:
            self.images[-1][1] += data + " "


def decode_png(uri):
    """Pixels of an image that uses no filters, every checksum checked."""
    data = base64.b64decode(uri.split(",", 1)[1], validate=True)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        kind, content = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + content)
        chunks.append((kind, content))
        at += length + 12
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    channels = {0: 1, 6: 4}[colour]
    assert depth == 8 and rest == [0, 0, 0]
    raw, row = zlib.decompress(chunks[1][1]), 1 + width * channels
    assert len(raw) == height * row and not any(raw[::row])
    return width, height, b"".join(raw[y * row + 1:(y + 1) * row] for y in range(height))


def read_idx(path):
    with open(path, "rb") as file:
        data = file.read()
    dimensions = data[3]
    sizes = struct.unpack(">%dI" % dimensions, data[4:4 + 4 * dimensions])
    return sizes, data[4 + 4 * dimensions:]


def number(text):
    return float(text.replace(",", "").replace("%", "").replace("·", "0").replace("–", "0"))


def check_tables(page, labels):
    """The confusion matrix has the labels' counts as row sums, and every score follows from it."""
    matrix = [[int(number(cell)) for cell in row[1:]] for row in page.tables["confusion"][2:]]
    classes = range(len(matrix))
    for i in classes:
        assert sum(matrix[i]) == labels.count(i), i
    total = [0.0, 0.0, 0.0]
    for i in classes:
        right, labelled, predicted = matrix[i][i], sum(matrix[i]), sum(row[i] for row in matrix)
        precision = right / predicted if predicted else 0
        recall = right / labelled if labelled else 0
        f1 = 2 * precision * recall / (precision + recall) if right else 0
        row = page.tables["scores"][1 + i]
        assert [number(c) for c in row[:3]] == [i, labelled, labelled - right], row
        for value, cell in zip((precision, recall, f1), row[3:]):
            assert abs(100 * value - number(cell)) < 0.0051, row
        assert (row[3] == "–") == (not predicted), row
        total = [a + b for a, b in zip(total, (precision, recall, f1))]
    for value, cell in zip(total, page.tables["scores"][1 + len(matrix)][3:]):
        assert abs(100 * value / len(matrix) - number(cell)) < 0.0051, cell
    return sum(matrix[i][i] for i in classes)


def check_layers(page):
    """The last row has the sums of those above."""
    rows = [[number(cell or "0") for cell in row[2:]] for row in page.tables["layers"][1:]]
    assert [sum(column) for column in zip(*rows[:-1])] == rows[-1], rows


def check_mistakes(page, images, labels, wrong):
    """Each is the test image that its caption names, dark on light, with its label; the surest come first."""
    mistakes = [image for image in page.images if image[0]["class"] == "ink"]
    assert len(mistakes) == min(wrong, 24), len(mistakes)
    before = 100.0
    for attributes, caption in mistakes:
        index = int(attributes["alt"].split()[1])
        found = re.match(r"\s*(\d) +read as +(\d) +([\d.]+)% sure +(\d): ([\d.]+)% +image (\d+)", caption)
        label, predicted, sure, right, given, named = found.groups()
        assert int(named) == index and int(label) == int(right) == labels[index] != int(predicted), caption
        assert float(given) <= float(sure) <= before, caption
        before = float(sure)
        width, height, pixels = decode_png(attributes["src"])
        assert bytes(255 - p for p in pixels) == images[index * width * height:(index + 1) * width * height], caption


def check_log(page, text, log):
    """The last line of the csv is what the head and the ends of the curves say; of several runs each has a row."""
    with open(log) as file:
        rows = list(csv.DictReader(file))
    last = rows[-1]
    labels = re.findall(r'class="label (train|test)"[^>]*>[a-z-]+ ([\d.]+)(%?)<', text)
    means = {}
    for name in ("train", "test"):
        for measure, percent in (("accuracy", "%"), ("loss", "")):
            ends = [row for row in rows if row["epoch"] == last["epoch"]]
            mean = sum(float(row[name + "_" + measure]) for row in ends) / len(ends)
            means[name, percent] = "%.2f" % (100 * mean) if percent else "%.4f" % mean
    assert dict(((n, p), v) for n, v, p in labels) == means, (labels, means)
    own = rows[-int(last["epoch"]):]
    best = min(own, key=lambda row: float(row["test_loss"]))
    assert "loss was %.4f, after epoch %s," % (float(best["test_loss"]), best["epoch"]) in text
    best = max(own, key=lambda row: float(row["test_accuracy"]))
    assert "highest accuracy %.2f%%, after epoch %s." % (100 * float(best["test_accuracy"]), best["epoch"]) in text
    assert "<dt>test loss</dt><dd>%.4f</dd>" % float(last["test_loss"]) in text
    for row, cells in zip(ends, page.tables.get("runs", [])[1:]):
        measured = [float(row[name]) for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")]
        loss, accuracy, test_loss, test_accuracy = measured
        wanted = "%s %.4f %.2f%% %.4f %.2f%%" % (row["seed"], loss, 100 * accuracy, test_loss, 100 * test_accuracy)
        assert cells == wanted.split(), (cells, wanted)
    assert len(page.tables.get("runs", ends)) == len(ends) + ("runs" in page.tables)
    if "runs" in page.tables:
        accuracies = [100 * float(row["test_accuracy"]) for row in ends]
        spread = statistics.mean(accuracies), statistics.stdev(accuracies)
        assert "%d runs: mean %.3f%%, deviation %.3f%%." % ((len(ends),) + spread) in text, spread


def read_chart(chart):
    """Ticks of the y axis, as (y, text), and the points of each line, by its class, as (epoch, y)."""
    texts = [(element.get("class"), element.text, element) for element in chart.iter("text")]
    ticks = [(float(element.get("y")) - 4, text) for kind, text, element in texts if kind == "tick end"]
    epochs = [(float(element.get("x")), float(text)) for kind, text, element in texts
              if kind == "tick middle" and text != "epoch"]
    (left, first), (right, last) = epochs[0], epochs[-1]
    lines = {}
    for path in chart.iter("path"):
        if path.get("class").startswith("line"):
            numbers = re.findall(r"[ML]([\d.]+) ([\d.]+)", path.get("d"))
            lines.setdefault(path.get("class"), []).append(
                [(first + (float(x) - left) / (right - left) * (last - first), float(y)) for x, y in numbers])
    return ticks, lines


def fits(values, points, ticks, scale):
    """Whether the points are where the ticks say that the values are, to the tenth of a pixel that is written."""
    try:
        (a, low), (b, high) = [(scale(tick), y) for y, tick in (ticks[0], ticks[-1])]
        places = [low + (scale(value) - a) / (b - a) * (high - low) for value in values]
    except (ValueError, ZeroDivisionError):
        return False
    return len(points) == len(values) and all(abs(p - y) < 0.25 for p, (_, y) in zip(places, points))


def check_line(values, points, ticks, title):
    """Whether the points are at these values, on a linear or a log scale; of accuracies it is the error that counts."""
    percent = title == "Accuracy"
    numbers = [(y, 1 - number(t) / 100 if percent else number(t)) for y, t in ticks]
    values = [1 - v if percent else v for v in values]
    logs = numbers[1:] if 0 in [n for _, n in numbers] else numbers
    kept = [(v, p) for v, p in zip(values, points) if v > 0 or logs is numbers]
    positive, places = zip(*kept) if kept else ((), ())
    assert fits(positive, places, logs, math.log) or fits(values, points, numbers, lambda v: v), (
        title, values, points, numbers)


def of_epochs(values, points):
    """The values of the epochs at which the points are: all of them, or of many at most 200, with the last."""
    epochs = [round(epoch) for epoch, _ in points]
    assert all(abs(epoch - wanted) < 0.2 for wanted, (epoch, _) in zip(epochs, points)), points
    assert epochs[-1] == len(values) and epochs == sorted(set(epochs)), epochs
    assert len(epochs) == len(values) or len(values) > 200 >= len(epochs) > 100, epochs
    return [values[epoch - 1] for epoch in epochs]


def check_rate(values, points, ticks):
    """Whether the rate, which has a point for each step or, of more than 200, for some, is right where epochs end."""
    steps = len(points) // len(values) if len(points) % len(values) == 0 else 1  # of an epoch
    ends = [(round(epoch * steps) + 1, (epoch, y)) for epoch, y in points]
    assert all(abs(end - 1 - epoch * steps) < 0.2 for end, (epoch, _) in ends), points
    ends = [(end, point) for end, point in ends if end % steps == 0]
    assert len(ends) >= len(values) / 2, points
    assert fits([values[end // steps - 1] for end, _ in ends], [point for _, point in ends],
                [(y, number(t)) for y, t in ticks], lambda v: v), "rate"


def check_curves(text, log):
    """Every point of every curve is at the csv's value: of one run, or of each of several and of their mean."""
    with open(log) as file:
        rows = list(csv.DictReader(file))
    epochs = int(rows[-1]["epoch"])
    runs = [rows[i:i + epochs] for i in range(0, len(rows), epochs)]
    for chart in xml.etree.ElementTree.fromstring(text).iter("svg"):
        title = chart.find("text")
        if chart.get("class") != "chart":
            continue
        ticks, lines = read_chart(chart)
        if title.text == "Learning rate":
            (points,) = lines["line rate"]
            check_rate([float(row["lr"]) for row in runs[-1]], points, ticks)
            continue
        for name in ("train", "test"):
            values = [[float(row[name + "_" + title.text.lower()]) for row in run] for run in runs]
            faint = lines.get("line %s faint" % name, [])
            assert len(faint) == (len(runs) if len(runs) > 1 else 0), name
            for run, points in zip(values, faint):
                check_line(of_epochs(run, points), points, ticks, title.text)
            (points,) = lines["line " + name]
            means = [sum(each) / len(runs) for each in zip(*values)]
            check_line(of_epochs(means, points), points, ticks, title.text)


def check_filters(page, weights):
    """Each image of a filter has the colour of its weights' sign, the opacity of their size."""
    with open(weights, "rb") as file:
        data = file.read()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    tensor = json.loads(data[8:begin])["conv1.weight"]
    first, last = tensor["data_offsets"]
    number_of = {"F32": "<f", "F64": "<d"}[tensor["dtype"]]
    values = [value for value, in struct.iter_unpack(number_of, data[begin + first:begin + last])]
    shown = [decode_png(image["src"]) for image, _ in page.images if image["class"] == "filter"]
    assert [image[:2] for image in shown] == [tuple(tensor["shape"][:1:-1])] * tensor["shape"][0]
    pixels = b"".join(image[2] for image in shown)
    greatest = max(map(abs, values))
    assert len(pixels) == 4 * len(values)
    for value, pixel in zip(values, zip(*[iter(pixels)] * 4)):
        assert pixel[:3] == ((0, 114, 178) if value > 0 else (213, 94, 0)), (value, pixel)
        assert abs(pixel[3] - 255 * abs(value) / greatest) <= 0.51, (value, pixel)
    assert "at most %.3g either way" % greatest in page.text


def main():
    path, data = sys.argv[1:3]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    xml.etree.ElementTree.fromstring(text)
    page = Page(text)
    _, images = read_idx(data + "/t10k-images-idx3-ubyte")
    labels = list(read_idx(data + "/t10k-labels-idx1-ubyte")[1])
    right = check_tables(page, labels)
    check_layers(page)
    assert "%.2f%%" % (100 * right / len(labels)) in page.text
    assert "nan" not in page.text and "inf" not in page.text
    check_mistakes(page, images, labels, len(labels) - right)
    assert re.search(r"of %d test images? wrong</dt><dd>%d</dd>" % (len(labels), len(labels) - right), text)
    for attributes, _ in page.images:
        decode_png(attributes["src"])
    decode_png(re.search(r'<image [^>]*href="([^"]*)"', text).group(1))
    if len(sys.argv) > 3:
        check_log(page, text, sys.argv[3])
        check_curves(text, sys.argv[3])
    if len(sys.argv) > 4:
        check_filters(page, sys.argv[4])
    beside = path[:-5]
    for name in ("-samples.svg",) + (("-curves.svg",) if len(sys.argv) > 3 else ()):
        svg = xml.etree.ElementTree.parse(beside + name).getroot()
        assert svg.tag == "{http://www.w3.org/2000/svg}svg", name
    print("%d right, %d bytes" % (right, len(text)))


main()
