"""HTML as its elements and its text."""

from html.parser import HTMLParser

VOID = {"meta", "img", "wbr", "br", "link"}


class Page(HTMLParser):
    """The elements of a page, or of a piece of one, its text whole, and in pieces with the tags around each."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(set(names)) == len(names)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += " " * (tag in ("td", "th", "span"))

    def handle_data(self, data):
        self.texts.append((" ".join(self.open), data))
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]
