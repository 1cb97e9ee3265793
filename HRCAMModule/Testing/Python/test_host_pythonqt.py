"""The host's `qt` behaves as PythonQt in a real Slicer 5.13 does (where each of these facts was checked)."""

import pytest

pytestmark = pytest.mark.gui


@pytest.fixture
def qt(slicerHost):
    import qt

    return qt


def test_properties_are_values_not_calls(qt):
    button = qt.QPushButton("Go")
    assert button.text == "Go"
    assert (button.enabled, button.visible) == (True, False)
    with pytest.raises(TypeError, match="not callable"):
        button.text()
    button.text = "Run"
    assert button.text == "Run"
    button.setText("Stop")
    assert button.text == "Stop"
    assert button.isVisible() is False, "a getter that is no property stays a method"


def test_misspelt_and_misused_attributes_are_refused(qt):
    button = qt.QPushButton()
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        button.txet = "x"
    with pytest.raises(AttributeError, match="has no attribute named 'foo'"):
        _ = button.foo
    with pytest.raises(AttributeError, match="can not be overwritten"):
        button.click = 1
    with pytest.raises(AttributeError, match="not writable"):
        button.width = 3
    with pytest.raises(AttributeError, match="does not accept"):
        qt.QSpinBox().value = object()


def test_signals_connect_by_name_and_by_attribute(qt):
    button, seen = qt.QPushButton(), []
    assert button.connect("clicked(bool)", lambda checked: seen.append(checked)) is True
    assert button.connect("clicked()", lambda: seen.append("no argument"))
    assert button.clicked.connect(lambda: seen.append("attribute"))
    button.click()
    assert sorted(map(str, seen)) == ["False", "attribute", "no argument"]


def test_connecting_a_missing_signal_warns_and_returns_false(qt, capsys):
    assert qt.QPushButton().connect("klicked()", print) is False
    assert "No such signal" in capsys.readouterr().err


def test_disconnect_takes_the_function_away(qt):
    button, seen = qt.QPushButton(), []

    def onClicked():
        seen.append(1)

    button.clicked.connect(onClicked)
    assert button.clicked.disconnect(onClicked) is True
    button.click()
    assert seen == []


def test_exception_in_a_slot_is_reported_not_passed_on(qt, slicerHost, capsys):
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert [type(e) for e in slicerHost.errors] == [ZeroDivisionError]
    slicerHost.errors.clear()


def test_timers_fire(qt, slicerHost):
    fired = []
    qt.QTimer.singleShot(0, lambda: fired.append("static"))
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.interval = 1
    timer.connect("timeout()", lambda: fired.append("object"))
    timer.start()
    slicerHost.waitUntil(lambda: len(fired) == 2)


def test_python_subclass_overrides_virtual_methods_and_has_own_attributes(qt):
    class Dialog(qt.QDialog):
        def __init__(self, parent=None):
            qt.QDialog.__init__(self, parent)
            self.setLayout(qt.QVBoxLayout())
            self.edit = qt.QLineEdit()
            self.layout().addWidget(self.edit)
            self.closed = 0

        def closeEvent(self, event):
            self.closed += 1
            event.accept()

    dialog = Dialog()
    dialog.show()
    dialog.close()
    assert dialog.closed == 1
    assert dialog.layout().itemAt(0).widget() == dialog.edit
    assert not isinstance(dialog, qt.QWidget), "PythonQt's classes do not inherit from one another"
    assert dialog.inherits("QWidget")


def test_script_can_paint_a_widget(qt):
    class Plot(qt.QWidget):
        def paintEvent(self, event):
            painter = qt.QPainter(self)
            painter.fillRect(0, 0, self.width, self.height, qt.QColor(10, 200, 30))
            painter.end()

    plot = Plot()
    plot.resize(8, 8)
    color = plot.grab().toImage().pixelColor(4, 4)
    assert (color.red(), color.green(), color.blue()) == (10, 200, 30)


def test_enums_are_ints(qt):
    assert int(qt.Qt.Horizontal) == 1
    assert qt.QSizePolicy.Expanding == 7
    assert qt.QMessageBox.Ok | qt.QMessageBox.Cancel == 0x00400400
    slider = qt.QSlider(qt.Qt.Horizontal)
    assert slider.orientation == qt.Qt.Horizontal
    slider.setSizePolicy(qt.QSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed))
    item = qt.QTableWidgetItem("a")
    item.setFlags(item.flags() & ~qt.Qt.ItemIsEditable)
    assert not item.flags() & qt.Qt.ItemIsEditable


def test_tables_and_combo_boxes(qt):
    table = qt.QTableWidget(2, 3)
    table.setItem(1, 2, qt.QTableWidgetItem("peak"))
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
    assert (table.rowCount, table.columnCount, table.item(1, 2).text(), table.item(0, 0)) == (2, 3, "peak", None)
    combo = qt.QComboBox()
    combo.addItems(["x", "y"])
    combo.addItem("z", {"key": [1, 2]})
    combo.currentIndex = 2
    assert (combo.count, combo.currentText, combo.itemData(2)) == (3, "z", {"key": (1, 2)})


def test_process_signals_arrive_with_output(qt, slicerHost):
    import sys

    process, seen = qt.QProcess(), []
    process.connect("readyReadStandardOutput()", lambda: seen.append(process.readAllStandardOutput().data()))
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: seen.append((code, int(status))))
    process.start(sys.executable, ["-c", "print(input()); raise SystemExit(3)"])
    process.write(b"hello\n")
    slicerHost.waitUntil(lambda: seen and seen[-1] == (3, int(qt.QProcess.NormalExit)))
    assert b"".join(part for part in seen[:-1]).split() == [b"hello"]


def test_children_of_a_collapsed_unshown_button_count_as_visible(qt):
    import ctk

    button = ctk.ctkCollapsibleButton()
    layout = qt.QVBoxLayout(button)
    child = qt.QLabel("x")
    layout.addWidget(child)
    button.collapsed = True
    assert child.isVisibleTo(button) is True
    button.show()
    assert child.isVisibleTo(button) is False
    button.collapsed = False
    assert child.isVisibleTo(button) is True


def test_unsupported_widget_fails_loudly(qt):
    import ctk

    with pytest.raises(AttributeError, match="ctkVTKVolumePropertyWidget"):
        ctk.ctkVTKVolumePropertyWidget()
    with pytest.raises(AttributeError, match="crashes PythonQt"):
        _ = qt.Signal
