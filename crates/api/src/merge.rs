//! Documents merged field by field.

use serde_json::Value;

/// Lays `patch` over `base`: maps are merged key by key, `null` removes a key, all else (lists too) is replaced.
/// These are the rules of JSON Merge Patch (RFC 7386).
pub fn merge(base: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *base = patch.clone();
        return;
    };
    if !base.is_object() {
        *base = Value::Object(serde_json::Map::new());
    }
    let target = base.as_object_mut().expect("made an object just above");
    for (key, value) in fields {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use serde_json::json;

    #[test]
    fn the_users_fields_win() {
        let mut ours = json!({"kind": "K", "a": {"x": 1, "y": 2}, "list": [1, 2], "gone": true});
        merge(
            &mut ours,
            &json!({"a": {"y": 3, "z": {"deep": null, "kept": 1}}, "list": [9], "gone": null}),
        );
        assert_eq!(
            ours,
            json!({"kind": "K", "a": {"x": 1, "y": 3, "z": {"kept": 1}}, "list": [9]})
        );
    }
}
