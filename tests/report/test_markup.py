from bnexport.report.markup import Markup, join, tag, text


def test_text_is_escaped():
    assert text("<b> & 'c'") == "&lt;b&gt; &amp; &#x27;c&#x27;"


def test_an_element_is_not_escaped_again():
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"


def test_an_attribute_cannot_be_left():
    assert tag("p", title='"><script>') == '<p title="&quot;&gt;&lt;script&gt;"></p>'


def test_an_attribute_stays_text_even_where_it_is_given_as_markup():
    assert '"<' not in tag("p", title='"<')


def test_an_attribute_without_a_value():
    assert tag("details", open=True) == "<details open></details>"
    assert tag("details", open=False) == "<details></details>"


def test_a_void_element_is_not_closed():
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_what_is_joined_is_markup():
    assert isinstance(join("a", tag("br")), Markup)
    assert join("<", tag("br")) == "&lt;<br>"
