//! Introspection: what the tables say, as XML.

use super::events::{HEADER, KINDS};
use super::objects::{INTERFACES, Interface, MEMBERS, Member, Twist};
use super::shape::Field;
use std::fmt::Write;

const DOCTYPE: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\" \
\"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n";

/// What every object has.
const STANDARD: &str = r#"  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect"><arg name="xml" type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId"><arg name="machine_id" type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg name="interface" type="s" direction="in"/>
      <arg name="name" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="GetAll">
      <arg name="interface" type="s" direction="in"/>
      <arg name="properties" type="a{sv}" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface" type="s" direction="in"/>
      <arg name="name" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface" type="s"/>
      <arg name="changed" type="a{sv}"/>
      <arg name="invalidated" type="as"/>
    </signal>
  </interface>
"#;

/// What the root has beside.
const OBJECT_MANAGER: &str = r#"  <interface name="org.freedesktop.DBus.ObjectManager">
    <method name="GetManagedObjects"><arg name="objects" type="a{oa{sa{sv}}}" direction="out"/></method>
    <signal name="InterfacesAdded">
      <arg name="object" type="o"/>
      <arg name="interfaces" type="a{sa{sv}}"/>
    </signal>
    <signal name="InterfacesRemoved">
      <arg name="object" type="o"/>
      <arg name="interfaces" type="as"/>
    </signal>
  </interface>
"#;

/// The introspection of an object.
pub fn object(interfaces: &[&str], manager: bool, children: &[String]) -> String {
    let mut xml = format!("{DOCTYPE}<node>\n{STANDARD}");
    if manager {
        xml.push_str(OBJECT_MANAGER);
    }
    for interface in INTERFACES.iter().filter(|interface| interfaces.contains(&interface.name)) {
        write(&mut xml, interface, Words::Left);
    }
    for child in children {
        let _ = writeln!(xml, "  <node name=\"{child}\"/>");
    }
    xml.push_str("</node>\n");
    xml
}

/// The file of an interface, with words for people.
#[cfg(test)]
pub fn file(interface: &Interface) -> String {
    let mut xml = format!("{DOCTYPE}<node>\n");
    write(&mut xml, interface, Words::Written);
    xml.push_str("</node>\n");
    xml
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "words are in the shipped files, which a test writes"))]
enum Words {
    Written,
    Left,
}

fn comment(xml: &mut String, words: Words, depth: &str, what: &str) {
    if words == Words::Written {
        let _ = writeln!(xml, "{depth}<!-- {what} -->");
    }
}

fn write(xml: &mut String, interface: &Interface, words: Words) {
    comment(xml, words, "  ", interface.doc);
    let _ = writeln!(xml, "  <interface name=\"{}\">", interface.name);
    for member in MEMBERS.iter().filter(|member| member.interface == interface.name) {
        method(xml, member, words);
    }
    for kind in KINDS.iter().filter(|kind| kind.interface == interface.name) {
        comment(xml, words, "    ", &format!("{} ({})", kind.doc, kind.kind));
        let _ = writeln!(xml, "    <signal name=\"{}\">", kind.member);
        for field in HEADER {
            argument(xml, field.key, &field.shape.signature(), None);
        }
        fields(xml, kind.fields, words, None);
        xml.push_str("    </signal>\n");
    }
    if interface.name == super::objects::SERVER {
        comment(xml, words, "    ", "The server cut this client off: its session waits for Client.Resume.");
        xml.push_str("    <signal name=\"CutOff\">\n      <arg name=\"reason\" type=\"s\"/>\n    </signal>\n");
    }
    for property in interface.properties() {
        let (name, signature) = (property.name(), property.field.shape.signature());
        let emits = super::emits(interface.name, &property);
        let maybe = if property.field.optional { "May be absent." } else { "" };
        if !maybe.is_empty() {
            comment(xml, words, "    ", maybe);
        }
        let _ = writeln!(xml, "    <property name=\"{name}\" type=\"{signature}\" access=\"read\">");
        let _ = writeln!(
            xml,
            "      <annotation name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"{emits}\"/>"
        );
        xml.push_str("    </property>\n");
    }
    xml.push_str("  </interface>\n");
}

fn method(xml: &mut String, member: &Member, words: Words) {
    comment(xml, words, "    ", &format!("{} ({})", member.verb().doc, member.method));
    let _ = writeln!(xml, "    <method name=\"{}\">", member.name);
    for argument_in in member.arguments() {
        argument(xml, argument_in.key, &argument_in.shape.signature(), Some("in"));
    }
    let options = member.options();
    if !options.is_empty() {
        let names: Vec<String> =
            options.iter().map(|option| format!("{} ({})", option.key, option.shape.signature())).collect();
        comment(xml, words, "      ", &names.join(", "));
        argument(xml, "options", "a{sv}", Some("in"));
    }
    fields(xml, member.verb().reply, words, Some("out"));
    if matches!(member.twist, Twist::Pair | Twist::Through) {
        argument(xml, "socket", "h", Some("out"));
    }
    xml.push_str("    </method>\n");
}

fn fields(xml: &mut String, fields: &[Field], words: Words, direction: Option<&str>) {
    for field in fields.iter().filter(|field| !field.optional) {
        let name = if field.key.is_empty() { "whole" } else { field.key };
        argument(xml, name, &field.shape.signature(), direction);
    }
    let optional: Vec<String> = fields
        .iter()
        .filter(|field| field.optional)
        .map(|field| format!("{} ({})", field.key, field.shape.signature()))
        .collect();
    if !optional.is_empty() {
        comment(xml, words, "      ", &optional.join(", "));
        argument(xml, "more", "a{sv}", direction);
    }
}

fn argument(xml: &mut String, name: &str, signature: &str, direction: Option<&str>) {
    let direction = direction.map(|direction| format!(" direction=\"{direction}\"")).unwrap_or_default();
    let _ = writeln!(xml, "      <arg name=\"{name}\" type=\"{signature}\"{direction}/>");
}
